// Kimi Linear (Moonshot AI 2025): delta rule with a decay for each channel, every fourth layer latent attention without
// positions, experts after all but the first layers.
import type { ArchitectureSpec, ResolvedLayer } from "../../../spec/types.ts";
import type { ConfigReader } from "../config.ts";
import { type ConfigFields, type Conversion, type Family, stackLayers, tidy, unless } from "../family.ts";
import { type Alternatives, convolution, linear, rule } from "../table.ts";
import { moeFields, sigmoidRouter } from "./moe.ts";
import {
  ACTIVATION_NAMES,
  ACTIVATIONS,
  mlpFields,
  operatorsOf,
  pairs,
  readDecoder,
  readLayerTypes,
  writeDecoder,
} from "./parts.ts";
import { decoderTable, expertRules, normRules, sharedExpertRules } from "./rules.ts";

export const kimiLinear: Family = {
  modelTypes: ["kimi_linear"],
  architecture: "KimiLinearForCausalLM",
  convert,
  configure,
};

const LINEAR = "linear_attention";
const FULL = "full_attention";
/** eps of the norm of the latent, which the configuration does not say. */
const LATENT_EPS = 1e-6;

function convert(config: ConfigReader): Conversion {
  config.neutral("model_max_length", "qk_head_dim", "head_dim", "num_key_value_heads", "rope_theta", "rope_scaling");
  config.neutral("num_nextn_predict_layers", "rope_parameters");
  config.must("pretraining_tp", [null, 1], "matrices cut for tensor parallelism");
  config.must("mla_use_nope", [null, true], "rotary positions in latent attention");
  config.must("moe_router_activation_func", [null, "sigmoid"], "another score of the router");
  config.must("use_grouped_topk", [null, true], "another way of choosing experts");
  config.must("topk_method", [null, "noaux_tc"], "another way of choosing experts");
  config.must("moe_layer_freq", [null, 1], "experts in some layers only");
  config.must("tie_word_embeddings", [null, false], "the head is never tied");
  const decoder = readDecoder(config, { eps: ["rms_norm_eps", 1e-5] });
  const layers = config.layers("num_hidden_layers");
  const { types, heads, headDim, conv } = readLinear(config, layers);
  const delta = tidy({
    type: "gated_delta" as const,
    n_heads: heads,
    key_head_dim: headDim,
    d_conv: unless(conv, 4),
    decay: "channel" as const,
    decay_rank: headDim,
    gate_rank: headDim,
    output_gate: "sigmoid" as const,
  });
  const n_heads = config.count("num_attention_heads");
  const bias = config.flag("attention_bias", false);
  const nope = config.count("qk_nope_head_dim", 128);
  const attention = tidy({
    type: "latent_attention" as const,
    n_heads,
    kv_rank: config.count("kv_lora_rank", 512),
    q_rank: config.value("q_lora_rank") === undefined ? undefined : config.count("q_lora_rank"),
    head_dim: nope,
    rope_head_dim: config.count("qk_rope_head_dim", 64),
    value_head_dim: unless(config.count("v_head_dim", 128), nope),
    latent_norm: { eps: LATENT_EPS },
    bias: unless(bias, false),
    output_bias: unless(bias, false),
  });
  const activation = config.choice("hidden_act", ACTIVATIONS, "silu");
  const width = config.count("moe_intermediate_size");
  const shared = config.experts(["num_shared_experts", "n_shared_experts"], 1);
  const moe = moeFields({
    type: "moe",
    n_experts: config.experts(["num_experts", "n_routed_experts", "num_local_experts"]),
    top_k: config.experts(["num_experts_per_token", "num_experts_per_tok"]),
    d_ff: width,
    activation: unless(activation, "silu"),
    router: sigmoidRouter(config, {
      normalize: config.has("norm_topk_prob") ? "norm_topk_prob" : "moe_renormalize",
      groups: config.has("n_group") ? "n_group" : "num_expert_group",
      topGroups: "topk_group",
    }),
    shared: shared === 0 ? undefined : { d_ff: width * shared },
  });
  const dense = config.count("first_k_dense_replace", 1, { minimum: 0 });
  const mlps = readLayerTypes(config, "mlp_layer_types", layers, ["dense", "sparse"], (i) =>
    i < dense ? "dense" : "sparse",
  );
  const { stack, fields } = stackLayers(
    types.map((type, i) => [type === FULL ? "*" : "D", mlps[i] === "dense" ? "-" : "E"]),
    {
      D: { mixer: delta },
      "*": { mixer: attention },
      "-": { ffn: mlpFields(config.count("intermediate_size"), activation) },
      E: { ffn: moe },
    },
  );
  return {
    file: { ...decoder, head: { tied: false }, ...fields },
    stack,
    table: decoderTable({
      tied: false,
      blocks: {
        D: [...normRules("input_layernorm"), ...deltaRules()],
        "*": [
          ...normRules("input_layernorm"),
          ...["q_proj", "q_a_proj", "q_b_proj", "o_proj"].flatMap((name) =>
            linear(`self_attn.${name}`, `mixer.${name}`),
          ),
          rule("self_attn.q_a_layernorm.weight", "mixer.q_a_norm.weight"),
          ...linear("self_attn.kv_a_proj_with_mqa", ["mixer.kv_a_proj", "mixer.k_rope_proj"]),
          rule("self_attn.kv_a_layernorm.weight", "mixer.kv_a_norm.weight"),
          rule("self_attn.kv_b_proj.weight", ["mixer.k_b_proj.weight", "mixer.v_b_proj.weight"], { groups: n_heads }),
        ],
        "-": [
          ...normRules("post_attention_layernorm"),
          ...["gate_proj", "up_proj", "down_proj"].flatMap((name) =>
            linear([`mlp.${name}`, `block_sparse_moe.${name}`], `ffn.${name}`),
          ),
        ],
        E: [
          ...normRules("post_attention_layernorm"),
          rule(["block_sparse_moe.gate.weight", "mlp.gate.weight"], "ffn.router.weight"),
          rule(
            ["block_sparse_moe.gate.e_score_correction_bias", "mlp.gate.e_score_correction_bias"],
            "ffn.router.selection_bias",
          ),
          { either: [...expertRules("block_sparse_moe.", ["w1", "w3", "w2"]).either, ...expertRules("mlp.").either] },
          { either: [sharedExpertRules("block_sparse_moe.shared_experts."), sharedExpertRules("mlp.shared_experts.")] },
        ],
      },
      ignored: [{ stored: "mtp.*", reason: "the heads that predict several tokens ahead, for speculative decoding" }],
    }),
  };
}

/** The delta-rule layers, from fields of their own or from `linear_attn_config`, which counts layers from 1. */
function readLinear(config: ConfigReader, layers: number) {
  const part = config.part("linear_attn_config");
  const full = part?.numbers("full_attn_layers", []) ?? [];
  const linear = part?.numbers("kda_layers", []) ?? [];
  const heads = part?.count("num_heads") ?? config.count("linear_num_heads");
  const headDim = part?.count("head_dim") ?? config.count("linear_head_dim");
  const conv = part?.count("short_conv_kernel_size", 4) ?? config.count("linear_conv_kernel_dim", 4);
  part?.finish();
  if (part !== undefined) {
    const wrong = Array.from({ length: layers }, (_, i) => i + 1).find((i) => full.includes(i) === linear.includes(i));
    if (wrong !== undefined) {
      config.problem("linear_attn_config", `layer ${wrong} (from 1) must be in one of full_attn_layers and kda_layers`);
    }
  }
  const types = readLayerTypes(config, "layer_types", layers, [LINEAR, FULL], (i) => {
    const isFull = part === undefined ? i > 0 && i % 4 === 0 : full.includes(i + 1);
    return isFull ? FULL : LINEAR;
  });
  return { types, heads, headDim, conv };
}

function deltaRules() {
  const names = ["q", "k", "v"];
  const convolutions: Alternatives = {
    either: [
      names.flatMap((name) => convolution(`self_attn.${name}_conv1d`, `mixer.conv_${name}`)),
      convolution(
        "self_attn.conv1d",
        names.map((name) => `mixer.conv_${name}`),
      ),
    ],
  };
  const own = (stored: string, parameter: string, shape?: (rows: number) => readonly number[]) =>
    rule([`self_attn.${stored}`, `self_attn.forget_gate.${stored}`], `mixer.${parameter}`, tidy({ shape }));
  return [
    ...names.flatMap((name) => linear(`self_attn.${name}_proj`, `mixer.${name}_proj`)),
    convolutions,
    own("f_a_proj.weight", "a_proj_down.weight"),
    own("f_b_proj.weight", "a_proj_up.weight"),
    own("dt_bias", "dt_bias"),
    own("A_log", "A_log", (rows) => [1, 1, rows, 1]),
    ...linear("self_attn.b_proj", "mixer.b_proj"),
    ...linear("self_attn.g_a_proj", "mixer.g_proj_down"),
    ...linear("self_attn.g_b_proj", "mixer.g_proj_up"),
    rule("self_attn.o_norm.weight", "mixer.o_norm.weight"),
    ...linear("self_attn.o_proj", "mixer.o_proj"),
  ];
}

function configure(spec: ArchitectureSpec): ConfigFields | undefined {
  const [delta] = operatorsOf(spec, "gated_delta");
  const [attention] = operatorsOf(spec, "latent_attention");
  const [mlp] = operatorsOf(spec, "mlp");
  const [moe] = operatorsOf(spec, "moe");
  const layers = pairs(spec.layers);
  if (delta === undefined || attention === undefined || layers === undefined) return undefined;
  const d_ff = mlp?.d_ff ?? moe?.d_ff;
  if (d_ff === undefined) return undefined;
  const is = (layer: ResolvedLayer, type: string): boolean => layer.branches[0]?.operator.type === type;
  return tidy({
    ...writeDecoder(spec),
    tie_word_embeddings: false,
    num_hidden_layers: layers.length,
    layer_types: layers.map(([mixer]) => (is(mixer, "latent_attention") ? FULL : LINEAR)),
    mlp_layer_types: layers.map(([, ffn]) => (is(ffn, "moe") ? "sparse" : "dense")),
    linear_num_heads: delta.n_heads,
    linear_head_dim: delta.key_head_dim,
    linear_conv_kernel_dim: delta.d_conv,
    num_attention_heads: attention.n_heads,
    num_key_value_heads: attention.n_heads,
    kv_lora_rank: attention.kv_rank,
    q_lora_rank: attention.q_rank,
    qk_nope_head_dim: attention.head_dim,
    qk_rope_head_dim: attention.rope_head_dim,
    v_head_dim: attention.value_head_dim,
    attention_bias: attention.output_bias,
    intermediate_size: d_ff,
    hidden_act: ACTIVATION_NAMES[mlp?.activation ?? moe?.activation ?? "silu"],
    // Where all layers are dense these stand for nothing, but must be there.
    num_experts: moe?.n_experts ?? 1,
    num_experts_per_token: moe?.top_k ?? 1,
    num_shared_experts: moe?.shared == null ? 0 : moe.shared.d_ff / moe.d_ff,
    moe_intermediate_size: moe?.d_ff ?? d_ff,
    moe_renormalize: moe?.router.normalize,
    num_expert_group: moe?.router.n_groups,
    topk_group: moe?.router.top_groups,
    routed_scaling_factor: moe?.router.scale,
  });
}
