// Configurations that the fixtures do not have: other kernels, biases, groups, patterns, tied and untied heads. Each must be
// understood, fill every parameter, compute (in steps what it computes at once), and find its way back.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fitFamily } from "../../../src/formats/huggingface/export.ts";
import { convertConfig, familyOf } from "../../../src/formats/huggingface/import.ts";
import { parseConfigJson } from "../../../src/formats/huggingface/json.ts";
import { createModel } from "../../../src/model/create.ts";
import type { Runtime } from "../../../src/runtime/types.ts";
import { createWasmRuntime } from "../../../src/runtime/wasm/runtime.ts";
import { folderOf, largestError } from "./cases.ts";
import { type Config, importTensors, randomTensors } from "./random.ts";

let wasm: Runtime;
beforeAll(async () => {
  wasm = await createWasmRuntime({ threads: 1 });
});
afterAll(() => wasm.close());

const configOf = (name: string): Config =>
  parseConfigJson(readFileSync(join(folderOf(name), "config.json"), "utf8"), "config.json");

const rope = (fields: object): Config => ({ rope_parameters: { rope_theta: 10000, ...fields } });
const yarn = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 16, beta_fast: 8 };
const llama3 = {
  rope_type: "llama3",
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 16,
};

const variants: readonly (readonly [name: string, change: Config])[] = [
  [
    "mamba",
    {
      conv_kernel: 3,
      use_bias: true,
      use_conv_bias: false,
      hidden_size: 24,
      intermediate_size: 48,
      time_step_rank: "auto",
    },
  ],
  ["mamba", { tie_word_embeddings: false, expand: 3, intermediate_size: 96, state_size: 5 }],
  ["mamba2", { conv_kernel: 3, use_bias: true, tie_word_embeddings: true, n_groups: 4 }],
  ["mamba2", { time_step_limit: [0.01, 0.2], hidden_size: 20, head_dim: 5, num_heads: 8 }],
  ["llama", { attention_bias: true, mlp_bias: true, head_dim: 6, ...rope({ partial_rotary_factor: 1 / 3 }) }],
  ["llama", { hidden_act: "gelu_new", num_key_value_heads: 1, ...rope(yarn) }],
  ["llama", { tie_word_embeddings: true, ...rope(llama3) }],
  ["llama", rope({ rope_type: "linear", factor: 2 })],
  ["llama", rope({ rope_type: "dynamic", factor: 2 })],
  ["llama", rope({ rope_type: "longrope", short_factor: [1, 1.5, 2, 3], long_factor: [4, 4, 4, 4], factor: 2 })],
  ["llama", rope({ rope_type: "proportional", partial_rotary_factor: 0.5 })],
  ["qwen3", { use_sliding_window: true, sliding_window: 7, layer_types: null, max_window_layers: 1 }],
  ["gemma2", { layer_types: null, num_hidden_layers: 3, final_logit_softcapping: null, attn_logit_softcapping: null }],
  ["gemma3", { layer_types: null, num_hidden_layers: 7, attention_bias: true, final_logit_softcapping: 20 }],
  ["gpt2", { scale_attn_by_inverse_layer_idx: true, n_inner: 40, activation_function: "relu", n_layer: 3 }],
  ["gpt2", { scale_attn_weights: false, tie_word_embeddings: false }],
  ["jamba", { num_experts: 1, mamba_conv_bias: false, mamba_proj_bias: true }],
  [
    "jamba",
    { expert_layer_period: 1, expert_layer_offset: 0, attn_layer_period: 3, attn_layer_offset: 0, mamba_d_conv: 3 },
  ],
  ["zamba", { n_mamba_heads: 1, mamba_proj_bias: true }],
  ["zamba", { n_mamba_heads: 4, layers_block_type: null, num_hidden_layers: 9, mamba_d_conv: 3 }],
  ["zamba2", { use_shared_attention_adapter: false, num_mem_blocks: 1, add_bias_linear: true, use_mem_rope: false }],
  ["zamba2", { num_mem_blocks: 3, mamba_ngroups: 1, time_step_min: 0.05 }],
  [
    "bamba",
    { attn_layer_indices: [0, 2], attention_bias: true, mlp_bias: true, mamba_proj_bias: true, mamba_d_head: "auto" },
  ],
  [
    "granitemoehybrid",
    { mamba_n_groups: 2, position_embedding_type: "rope", attention_bias: true, tie_word_embeddings: true },
  ],
  [
    "granitemoehybrid",
    { layer_types: ["mamba", "mamba", "attention"], num_experts_per_tok: 3, time_step_limit: [0.001, 0.1] },
  ],
  ["nemotron_h", { layers_block_type: null, hybrid_override_pattern: "ME-*M", moe_latent_size: null, use_bias: true }],
  [
    "nemotron_h",
    { mlp_bias: true, n_group: 2, topk_group: 1, norm_topk_prob: false, time_step_min: 0.05, conv_kernel: 3 },
  ],
  [
    "falcon_h1",
    { mamba_d_ssm: null, mamba_n_heads: 8, mamba_proj_bias: true, projectors_bias: false, attention_bias: true },
  ],
  ["falcon_h1", { projectors_bias: true, mlp_bias: true, mamba_rms_norm: true, mamba_conv_bias: false, head_dim: 6 }],
  [
    "recurrent_gemma",
    { lru_width: 40, num_key_value_heads: 4, attention_bias: true, block_types: ["attention", "recurrent"] },
  ],
  ["qwen3_next", { mlp_only_layers: [], decoder_sparse_step: 2, norm_topk_prob: false, layer_types: null }],
  ["qwen3_next", { num_experts: 0, attention_bias: true, linear_conv_kernel_dim: 3 }],
  ["qwen3_next", { linear_num_key_heads: 4, linear_value_head_dim: 6 }],
  ["qwen3_5_text", { linear_num_value_heads: 2, tie_word_embeddings: true, linear_key_head_dim: 5 }],
  [
    "kimi_linear",
    { q_lora_rank: 10, attention_bias: true, num_shared_experts: 2, mlp_layer_types: null, first_k_dense_replace: 2 },
  ],
  [
    "kimi_linear",
    { num_shared_experts: 0, moe_renormalize: false, num_expert_group: 2, v_head_dim: 5, linear_conv_kernel_dim: 3 },
  ],
  ["lfm2", { conv_bias: true, conv_L_cache: 4, block_auto_adjust_ff_dim: false, tie_word_embeddings: false }],
  ["lfm2", { layer_types: null, full_attn_idxs: [0, 2], block_ffn_dim_multiplier: 1.3, block_multiple_of: 10 }],
  ["lfm2_moe", { use_expert_bias: false, norm_topk_prob: false, num_dense_layers: 0, routed_scaling_factor: 2.5 }],
  ["minimax", { layer_types: null, head_dim: 6, sliding_window: 5, mlp_beta_factor: 0.7, full_attn_beta_factor: 0.5 }],
  [
    "olmo_hybrid",
    { linear_allow_neg_eigval: false, linear_num_key_heads: 2, rope_parameters: null, attention_bias: true },
  ],
  ["rwkv", { attention_hidden_size: 24, intermediate_size: 50, layer_norm_epsilon: 1e-6, tie_word_embeddings: true }],
];

describe("other configurations", () => {
  it.each(variants)("%s %j", async (name, change) => {
    const config = { ...configOf(name), ...change };
    const imported = await importTensors(config, randomTensors(config));
    const { spec } = imported;
    const ids = Int32Array.from({ length: 11 }, (_, i) => (7 * i + 3) % spec.vocab_size);
    const model = await createModel(spec, { runtime: wasm, weights: imported });
    const whole = (await model.forward(ids)).logits;
    expect(largestError(whole, new Float32Array(whole.length))).toBeGreaterThan(0.01);
    const state = model.createState();
    const steps = [];
    for (const id of ids) steps.push(...(await model.forward([id], { state })).logits);
    expect(largestError(steps, whole)).toBeLessThan(2e-4);
    await model.close();
    const fit = fitFamily(spec, familyOf(config, "config.json"));
    expect(fit.problems).toEqual([]);
  });

  it("changes what the model computes where the change is one of meaning", () => {
    const same: string[] = [];
    for (const [name, change] of variants) {
      const before = convertConfig(configOf(name), "config.json", { name: "x" }).spec;
      const after = convertConfig({ ...configOf(name), ...change }, "config.json", { name: "x" }).spec;
      if (JSON.stringify(before.layers) === JSON.stringify(after.layers)) same.push(name);
    }
    expect(same).toEqual([]);
  });
});

describe("old forms of configurations", () => {
  const layersOf = (config: Config) => convertConfig(config, "config.json", { name: "x" }).spec.layers;
  const without = (config: Config, ...names: string[]): Config =>
    Object.fromEntries(Object.entries(config).filter(([name]) => !names.includes(name)));

  it("rope_theta and rope_scaling beside or instead of rope_parameters", () => {
    const config = configOf("llama");
    const now = layersOf({ ...config, rope_parameters: { rope_theta: 5e5, ...llama3 } });
    const { rope_type: type, ...fields } = llama3;
    const old = { ...without(config, "rope_parameters"), rope_theta: 5e5 };
    expect(layersOf({ ...old, rope_scaling: { rope_type: type, ...fields } })).toEqual(now);
    expect(layersOf({ ...old, rope_scaling: { type, ...fields } })).toEqual(now);
    expect(layersOf({ ...old, rope_scaling: null })).not.toEqual(now);
  });

  it("Gemma 3 with a base for each kind of layer and scaling for full attention only", () => {
    const config = configOf("gemma3");
    const scaled = { rope_type: "linear", factor: 8, rope_theta: 1e6 };
    const local = { rope_type: "default", rope_theta: 10000 };
    const now = layersOf({ ...config, rope_parameters: { full_attention: scaled, sliding_attention: local } });
    const old = { ...without(config, "rope_parameters"), rope_theta: 1e6, rope_local_base_freq: 10000 };
    expect(layersOf({ ...old, rope_scaling: { rope_type: "linear", factor: 8 } })).toEqual(now);
  });

  it("names of layers from before transformers 5", () => {
    const config = configOf("granitemoehybrid");
    expect(layersOf({ ...config, layer_types: ["mamba", "attention", "mamba"] })).toEqual(layersOf(config));
    const nemotron = without(configOf("nemotron_h"), "layers_block_type");
    const pattern = { ...nemotron, hybrid_override_pattern: "M-*EM", num_hidden_layers: 5 };
    expect(layersOf(pattern)).toEqual(layersOf(configOf("nemotron_h")));
  });

  it("Kimi's layers counted from one", () => {
    const config = configOf("kimi_linear");
    const old = {
      ...without(
        config,
        "layer_types",
        "linear_num_heads",
        "linear_head_dim",
        "linear_conv_kernel_dim",
        "mlp_layer_types",
      ),
      linear_attn_config: {
        full_attn_layers: [5],
        kda_layers: [1, 2, 3, 4],
        num_heads: 4,
        head_dim: 8,
        short_conv_kernel_size: 4,
      },
      first_k_dense_replace: 1,
    };
    expect(layersOf(old)).toEqual(layersOf(config));
  });

  it("bare Infinity and {__float__}", () => {
    const text =
      '{"model_type": "mamba2", "a": "Infinity \\" Infinity", "time_step_limit": [0.0, Infinity], "b": -Infinity, "c": NaN}';
    const parsed = parseConfigJson(text, "config.json");
    expect(parsed).toEqual({
      model_type: "mamba2",
      a: 'Infinity " Infinity',
      time_step_limit: [0, Number.POSITIVE_INFINITY],
      b: Number.NEGATIVE_INFINITY,
      c: Number.NaN,
    });
    expect(parseConfigJson('{"x": {"__float__": "Infinity"}}', "config.json")).toEqual({ x: Number.POSITIVE_INFINITY });
  });

  it("the text model of a multimodal one", async () => {
    const text = configOf("gemma3");
    const config = {
      model_type: "gemma3",
      architectures: ["Gemma3ForConditionalGeneration"],
      vision_config: {},
      text_config: text,
    };
    const tensors = randomTensors(text).map((one) => ({ ...one, name: `language_model.${one.name}` }));
    const vision = { name: "vision_tower.embed.weight", dtype: "F32" as const, shape: [1], data: new Float32Array(1) };
    const imported = await importTensors(config, [...tensors, vision]);
    expect(imported.ignored).toEqual([
      { tensor: "vision_tower.embed.weight", reason: "the vision part of a multimodal model" },
    ]);
    expect(imported.spec.layers).toEqual(layersOf(text));
  });
});
