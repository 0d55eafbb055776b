// Mixtures of experts against Hugging Face transformers: logits, loss and every gradient of small random checkpoints, whose
// tensors are named, cut and stacked by hand here. Three routers: a softmax as it is (Jamba), one over the chosen logits
// beside a shared expert (Granite), sigmoids with a bias before latent experts (Nemotron-H).
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { buildLoss } from "../../src/blocks/model.ts";
import { withSafetensorsFile } from "../../src/formats/safetensors/node/file.ts";
import type { Safetensors } from "../../src/formats/safetensors/reader.ts";
import { makeGraph } from "../../src/graph/graph.ts";
import { scalar } from "../../src/graph/leaves.ts";
import { sizeOf } from "../../src/graph/shape.ts";
import { differentiate } from "../../src/ops/gradients.ts";
import { finish, prepare } from "../../src/ops/passes/optimise.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import type { Runtime } from "../../src/runtime/types.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { createWebGpuRuntime } from "../../src/runtime/webgpu/runtime.ts";
import { defineSpec } from "../../src/spec/load.ts";
import type { ArchitectureFile } from "../../src/spec/types.generated.ts";

/** Rows first … first + count - 1 of a stored tensor, all by default. */
interface Part {
  readonly tensor: string;
  readonly first?: number;
  readonly count?: number;
}

/** The stored parts that a parameter is made of, one after the other. */
type Names = ReadonlyMap<string, readonly Part[]>;

interface Case {
  readonly file: ArchitectureFile;
  readonly names: Names;
}

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** Pairs of a parameter's name and a stored tensor's, under a prefix each. */
const same = (own: string, stored: string, pairs: Readonly<Record<string, string>>): [string, Part[]][] =>
  Object.entries(pairs).map(([name, tensor]) => [`${own}${name}`, [{ tensor: `${stored}${tensor}` }]]);

/** Projections that are stored as consecutive rows of one tensor. */
function cut(own: string, tensor: string, sizes: Readonly<Record<string, number>>): [string, Part[]][] {
  let first = 0;
  return Object.entries(sizes).map(([name, count]) => {
    const part = { tensor, first, count };
    first += count;
    return [`${own}${name}`, [part]];
  });
}

const stack = (own: string, experts: number, tensor: (e: number) => Part): [string, Part[]] => [
  own,
  range(experts).map(tensor),
];

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

const folder = (name: string): string => fileURLToPath(new URL(`../fixtures/hf/${name}/`, import.meta.url));

/** A parameter's values (or, with prefix `grad.`, its gradient's) from the file's parts. */
async function gather(file: Safetensors, parts: readonly Part[], prefix = ""): Promise<Float32Array> {
  const pieces: number[] = [];
  for (const { tensor, first = 0, count } of parts) {
    const name = prefix + tensor;
    const { shape } = file.info(name);
    // Stacks of matrices are rows, too.
    const width =
      shape.length === 1 ? 1 : sizeOf(shape.length === 3 && shape[1] !== 1 ? shape.slice(2) : shape.slice(1));
    const range = { start: first * width, count: (count ?? sizeOf(shape) / width) * width };
    pieces.push(...(await file.readFloat32(name, range)));
  }
  return Float32Array.from(pieces);
}

interface Meta {
  readonly tolerance: Readonly<Record<"logits_atol" | "loss_atol" | "grad_rtol_of_tensor_max" | "grad_atol", number>>;
  readonly stored_without_gradient: readonly string[];
}

const runtimes: readonly (readonly [string, () => Promise<Runtime>, number])[] = [
  ["reference", async () => createReferenceRuntime(), 1],
  ["wasm", () => createWasmRuntime({ threads: 2 }), 1],
  ["webgpu", () => createWebGpuRuntime({ adapter: "software" }), 3],
];

const maxOf = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  expect(a.length).toBe(b.length);
  return maxOf(Array.from(a, (x, i) => x - (b[i] ?? Number.NaN)));
};

describe.each([
  ["jamba", jamba],
  ["granitemoehybrid", granite],
  ["nemotron_h", nemotron],
] as const)("%s", (name, { file, names }) => {
  // The software GPU takes long to compile kernels, and Granite's are those of the others.
  const tried = runtimes.filter(([runtime]) => runtime !== "webgpu" || name !== "granitemoehybrid");
  it.each(tried)("has the logits, the loss and the gradients of transformers: %s", async (_, make, factor) => {
    const meta = JSON.parse(readFileSync(`${folder(name)}meta.json`, "utf8")) as Meta;
    const graph = prepare(buildLoss(defineSpec(file)));
    const loss = graph.outputs[0];
    if (loss === undefined) throw new Error("no loss");
    const gradients = differentiate(
      [{ tensor: loss.tensor, gradient: scalar(1) }],
      graph.parameters.map(({ tensor }) => tensor),
    );
    const outputs = [...graph.outputs];
    for (const [i, parameter] of graph.parameters.entries()) {
      const tensor = gradients[i];
      if (tensor !== undefined) outputs.push({ name: `gradient.${parameter.name}`, tensor });
    }
    const partsOf = (parameter: string): readonly Part[] => {
      const parts = names.get(parameter);
      if (parts === undefined) throw new Error(`no parts for ${parameter}`);
      return parts;
    };
    const weights = new Map<string, Float32Array>();
    await withSafetensorsFile(`${folder(name)}model.safetensors`, async (stored) => {
      // Every stored tensor is used, and every parameter is filled.
      const used = new Set([...names.values()].flat().map(({ tensor }) => tensor));
      expect([...stored.tensors.keys()].filter((tensor) => !used.has(tensor))).toEqual([]);
      for (const parameter of graph.parameters)
        weights.set(parameter.name, await gather(stored, partsOf(parameter.name)));
    });
    const runtime = await make();
    try {
      await withSafetensorsFile(`${folder(name)}expected.safetensors`, async (expected) => {
        const tokens = await expected.readInt32("input_ids");
        const [rows = 1, length = 1] = expected.info("input_ids").shape;
        // The last token of a row has nothing to predict.
        const targets = tokens.map((_, i) => (i % length === length - 1 ? -100 : (tokens[i + 1] ?? 0)));
        const buffers = new Map(
          graph.parameters.map((parameter) => {
            const shape = parameter.tensor.shape as readonly number[];
            return [parameter.name, runtime.buffer({ shape, dtype: "f32" }, weights.get(parameter.name))] as const;
          }),
        );
        const program = await runtime.compile(finish(makeGraph({ outputs })), {
          bindings: { B: rows, T: length, C: length },
          buffers,
          poison: true,
        });
        const results = await program.run({ tokens, targets });
        const { logits_atol, loss_atol, grad_rtol_of_tensor_max, grad_atol } = meta.tolerance;
        expect(distance(results.logits ?? [], await expected.readFloat32("logits"))).toBeLessThan(factor * logits_atol);
        expect(distance(results.loss ?? [], await expected.readFloat32("loss"))).toBeLessThan(factor * loss_atol);
        let compared = 0;
        for (const parameter of graph.parameters) {
          const parts = partsOf(parameter.name);
          if (parts.every(({ tensor }) => meta.stored_without_gradient.includes(tensor))) continue;
          const wanted = await gather(expected, parts, "grad.");
          const found = results[`gradient.${parameter.name}`] ?? [];
          const limit = factor * (grad_rtol_of_tensor_max * maxOf(wanted) + grad_atol);
          expect(distance(found, wanted), parameter.name).toBeLessThan(limit);
          compared++;
        }
        expect(compared).toBe(graph.parameters.length - meta.stored_without_gradient.length);
      });
    } finally {
      await runtime.close();
    }
  });
});
