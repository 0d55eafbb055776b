// Mixtures of experts against Hugging Face transformers. Three routers: a softmax as it is (Jamba), one over the chosen logits
// beside a shared expert (Granite), sigmoids with a bias before latent experts (Nemotron-H).
import { describe, it } from "vitest";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import type { Runtime } from "../../src/runtime/types.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { createWebGpuRuntime } from "../../src/runtime/webgpu/runtime.ts";
import { type Case, cut, expectTransformers, type Part, range, same, stack } from "./huggingface.ts";

const attentionNames = (own: string, stored: string): [string, Part[]][] =>
  same(own, stored, {
    ...{ "q_proj.weight": "q_proj.weight", "k_proj.weight": "k_proj.weight" },
    ...{ "v_proj.weight": "v_proj.weight", "o_proj.weight": "o_proj.weight" },
  });

const mamba2Names = (own: string, stored: string, inner: number, state: number, heads: number): [string, Part[]][] => [
  ...cut(own, `${stored}in_proj.weight`, {
    ...{ "in_proj_z.weight": inner, "in_proj_x.weight": inner },
    ...{ "in_proj_B.weight": state, "in_proj_C.weight": state, "in_proj_dt.weight": heads },
  }),
  ...["weight", "bias"].flatMap((kind) =>
    cut(own, `${stored}conv1d.${kind}`, {
      ...{ [`conv_x.${kind}`]: inner, [`conv_B.${kind}`]: state, [`conv_C.${kind}`]: state },
    }),
  ),
  ...same(own, stored, {
    ...{ dt_bias: "dt_bias", A_log: "A_log", D: "D" },
    ...{ "norm.weight": "norm.weight", "out_proj.weight": "out_proj.weight" },
  }),
];

const jamba: Case = {
  file: {
    ...{ name: "jamba", d_model: 32, vocab_size: 97, norm: { eps: 1e-6 }, head: { tied: false }, layers: "M-ME*-ME" },
    blocks: {
      M: { mixer: { type: "mamba", d_state: 8, d_conv: 4, expand: 2, dt_rank: 2, inner_norm: true } },
      "*": { mixer: { type: "attention", n_heads: 4, n_kv_heads: 2 } },
      "-": { ffn: { type: "mlp", d_ff: 32 } },
      E: { ffn: { type: "moe", n_experts: 4, top_k: 2, d_ff: 32, router: { normalize: false } } },
    },
  },
  names: new Map([
    ...same("", "", {
      ...{ "embedding.weight": "model.embed_tokens.weight", "head.weight": "lm_head.weight" },
      "final_norm.weight.weight": "model.final_layernorm.weight",
    }),
    ...range(4).flatMap((i) => {
      const stored = `model.layers.${i}.`;
      const [mixer, ffn] = [`layers.${2 * i}.mixer.`, `layers.${2 * i + 1}.ffn.`];
      const norms = same("", stored, {
        [`layers.${2 * i}.norm.weight`]: "input_layernorm.weight",
        [`layers.${2 * i + 1}.norm.weight`]: "pre_ff_layernorm.weight",
      });
      const mamba = [
        ...cut(mixer, `${stored}mamba.in_proj.weight`, { "in_proj_x.weight": 64, "in_proj_z.weight": 64 }),
        ...cut(mixer, `${stored}mamba.x_proj.weight`, {
          ...{ "x_proj_dt.weight": 2, "x_proj_B.weight": 8, "x_proj_C.weight": 8 },
        }),
        ...same(mixer, `${stored}mamba.`, {
          ...{ "conv.weight": "conv1d.weight", "conv.bias": "conv1d.bias", A_log: "A_log", D: "D" },
          ...{
            "dt_proj.weight": "dt_proj.weight",
            "dt_proj.bias": "dt_proj.bias",
            "out_proj.weight": "out_proj.weight",
          },
          ...{ "dt_norm.weight": "dt_layernorm.weight", "B_norm.weight": "b_layernorm.weight" },
          "C_norm.weight": "c_layernorm.weight",
        }),
      ];
      const projections = ["gate_proj", "up_proj", "down_proj"];
      const experts = [
        ...same(ffn, `${stored}feed_forward.`, { "router.weight": "router.weight" }),
        ...projections.map((name) =>
          stack(`${ffn}experts.${name}.weight`, 4, (e) => ({
            tensor: `${stored}feed_forward.experts.${e}.${name}.weight`,
          })),
        ),
      ];
      const dense = same(
        ffn,
        `${stored}feed_forward.`,
        Object.fromEntries(projections.map((name) => [`${name}.weight`, `${name}.weight`])),
      );
      return [
        ...norms,
        ...(i === 2 ? attentionNames(mixer, `${stored}self_attn.`) : mamba),
        ...(i % 2 === 1 ? experts : dense),
      ];
    }),
  ]),
};

const granite: Case = {
  file: {
    ...{ name: "granite", d_model: 32, vocab_size: 97, norm: { eps: 1e-6 }, layers: "ME*EME" },
    ...{ embedding: { scale: 12 }, head: { tied: false, scale: 1 / 6 } },
    blocks: {
      M: {
        out_scale: 0.22,
        mixer: { type: "mamba2", n_heads: 8, head_dim: 8, d_state: 16, n_groups: 1, d_conv: 4 },
      },
      "*": { out_scale: 0.22, mixer: { type: "attention", n_heads: 4, n_kv_heads: 2, scale: 0.125 } },
      E: { out_scale: 0.22, ffn: { type: "moe", n_experts: 4, top_k: 2, d_ff: 16, shared: { d_ff: 24 } } },
    },
  },
  names: new Map([
    ...same("", "", {
      ...{ "embedding.weight": "model.embed_tokens.weight", "head.weight": "lm_head.weight" },
      "final_norm.weight.weight": "model.norm.weight",
    }),
    ...range(3).flatMap((i) => {
      const stored = `model.layers.${i}.`;
      const [mixer, ffn] = [`layers.${2 * i}.mixer.`, `layers.${2 * i + 1}.ffn.`];
      const fused = `${stored}block_sparse_moe.input_linear.weight`;
      return [
        ...same("", stored, {
          [`layers.${2 * i}.norm.weight`]: "input_layernorm.weight",
          [`layers.${2 * i + 1}.norm.weight`]: "post_attention_layernorm.weight",
        }),
        ...(i === 1 ? attentionNames(mixer, `${stored}self_attn.`) : mamba2Names(mixer, `${stored}mamba.`, 64, 16, 8)),
        ...same(ffn, stored, {
          "router.weight": "block_sparse_moe.router.layer.weight",
          "experts.down_proj.weight": "block_sparse_moe.output_linear.weight",
          "shared.down_proj.weight": "shared_mlp.output_linear.weight",
        }),
        // Of an expert's rows the first half are the gate.
        stack(`${ffn}experts.gate_proj.weight`, 4, (e) => ({ tensor: fused, first: 32 * e, count: 16 })),
        stack(`${ffn}experts.up_proj.weight`, 4, (e) => ({ tensor: fused, first: 32 * e + 16, count: 16 })),
        ...cut(ffn, `${stored}shared_mlp.input_linear.weight`, {
          ...{ "shared.gate_proj.weight": 24, "shared.up_proj.weight": 24 },
        }),
      ];
    }),
  ]),
};

const nemotron: Case = {
  file: {
    ...{ name: "nemotron", d_model: 32, vocab_size: 97, norm: { eps: 1e-5 }, head: { tied: false }, layers: "M-*EM" },
    blocks: {
      M: {
        mixer: {
          ...{ type: "mamba2", n_heads: 8, head_dim: 8, d_state: 16, n_groups: 2, d_conv: 4 },
          ...{ gated_norm: { groups: 2 }, dt_limit: [0.001, "inf"] },
        },
      },
      "*": { mixer: { type: "attention", n_heads: 4, n_kv_heads: 2, head_dim: 8 } },
      "-": { ffn: { type: "mlp", d_ff: 64, activation: "relu2", gated: false } },
      E: {
        ffn: {
          ...{ type: "moe", n_experts: 4, top_k: 2, d_ff: 16, activation: "relu2", gated: false, latent: 12 },
          router: { score: "sigmoid", normalize_eps: 1e-20, selection_bias: true },
          shared: { d_ff: 24 },
        },
      },
    },
  },
  names: new Map([
    ...same("", "", {
      ...{ "embedding.weight": "backbone.embeddings.weight", "head.weight": "lm_head.weight" },
      "final_norm.weight.weight": "backbone.norm_f.weight",
      ...Object.fromEntries(range(5).map((i) => [`layers.${i}.norm.weight`, `backbone.layers.${i}.norm.weight`])),
    }),
    ...mamba2Names("layers.0.mixer.", "backbone.layers.0.mixer.", 64, 32, 8),
    ...mamba2Names("layers.4.mixer.", "backbone.layers.4.mixer.", 64, 32, 8),
    ...attentionNames("layers.2.mixer.", "backbone.layers.2.mixer."),
    ...same("layers.1.ffn.", "backbone.layers.1.mixer.", {
      ...{ "up_proj.weight": "up_proj.weight", "down_proj.weight": "down_proj.weight" },
    }),
    ...same("layers.3.ffn.", "backbone.layers.3.mixer.", {
      ...{ "router.weight": "gate.weight", "router.selection_bias": "gate.e_score_correction_bias" },
      ...{ "latent_in.weight": "fc1_latent_proj.weight", "latent_out.weight": "fc2_latent_proj.weight" },
      "shared.up_proj.weight": "shared_experts.up_proj.weight",
      "shared.down_proj.weight": "shared_experts.down_proj.weight",
    }),
    ...["up_proj", "down_proj"].map((name) =>
      stack(`layers.3.ffn.experts.${name}.weight`, 4, (e) => ({
        tensor: `backbone.layers.3.mixer.experts.${e}.${name}.weight`,
      })),
    ),
  ]),
};

const runtimes: readonly (readonly [string, () => Promise<Runtime>, number])[] = [
  ["reference", async () => createReferenceRuntime(), 1],
  ["wasm", () => createWasmRuntime({ threads: 2 }), 1],
  ["webgpu", () => createWebGpuRuntime({ adapter: "software" }), 3],
];

describe.each([
  ["jamba", jamba],
  ["granitemoehybrid", granite],
  ["nemotron_h", nemotron],
] as const)("%s", (name, given) => {
  // The software GPU takes long to compile kernels, and Granite's are those of the others.
  const tried = runtimes.filter(([runtime]) => runtime !== "webgpu" || name !== "granitemoehybrid");
  it.each(tried)("has the logits, the loss and the gradients of transformers: %s", async (_, make, factor) => {
    await expectTransformers(name, given, make, factor);
  });
});
