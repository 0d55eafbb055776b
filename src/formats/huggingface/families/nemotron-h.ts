// Nemotron-H (NVIDIA 2025) and Nemotron 3: each layer is one of Mamba-2, attention without positions, MLP and experts,
// written as a pattern; relu² everywhere, experts in a latent width.
import type { ArchitectureSpec } from "../../../spec/types.ts";
import type { ConfigReader } from "../config.ts";
import { type ConfigFields, type Conversion, type Family, stackLayers, tidy, unless } from "../family.ts";
import { linear, rule } from "../table.ts";
import { moeFields, sigmoidRouter } from "./moe.ts";
import {
  ACTIVATION_NAMES,
  ACTIVATIONS,
  attentionFields,
  mlpFields,
  operatorsOf,
  readDecoder,
  readLayerTypes,
  writeDecoder,
} from "./parts.ts";
import { attentionRules, decoderTable, expertRules, mamba2Rules, normRules, sharedExpertRules } from "./rules.ts";
import { dtInit, type Mamba2Names, neutralSsmFields, readMamba2, requireSilu, writeMamba2 } from "./state-space.ts";

export const nemotronH: Family = {
  modelTypes: ["nemotron_h"],
  architecture: "NemotronHForCausalLM",
  convert,
  configure,
};

const NAMES: Mamba2Names = {
  heads: "mamba_num_heads",
  headDim: "mamba_head_dim",
  groups: "n_groups",
  state: "ssm_state_size",
  conv: "conv_kernel",
  convBias: "use_conv_bias",
  bias: "use_bias",
};

const KINDS: Readonly<Record<string, string>> = { linear_attention: "M", full_attention: "*", mlp: "-", moe: "E" };

function convert(config: ConfigReader): Conversion {
  neutralSsmFields(config);
  config.neutral("mamba_ssm_cache_dtype", "moe_shared_expert_overlap", "num_query_groups", "is_hybrid_model");
  // The heads that predict several tokens ahead, whose tensors are left out.
  config.neutral("mtp_layers_block_type", "num_nextn_predict_layers", "mtp_hybrid_override_pattern");
  // Fields that the model does not read.
  config.neutral("expand", "mamba_proj_bias", "attention_bias", "sliding_window", "time_step_limit", "rope_theta");
  config.neutral("partial_rotary_factor", "mamba_chunk_size");
  requireSilu(config, "mamba_hidden_act");
  config.must("tie_word_embeddings", [null, false], "the head is never tied");
  config.must("n_shared_experts", [null, 1], "another number of shared experts");
  const decoder = readDecoder(config, {
    width: 4096,
    vocabulary: 131072,
    eps: [["layer_norm_epsilon", "norm_eps", "rms_norm_eps"], 1e-5],
  });
  const base = readMamba2(config, NAMES, { heads: 128, headDim: 64, groups: 8, state: 128, inner: 0 });
  const mixer = {
    ...base,
    gated_norm: { groups: base.n_groups ?? 1 },
    dt_limit: [config.number("time_step_min", 0.001), "inf"] as [number, string],
    ...dtInit(config),
  };
  const attention = attentionFields({
    type: "attention",
    n_heads: config.count("num_attention_heads", 32),
    n_kv_heads: config.count("num_key_value_heads", 8),
    head_dim: config.count(["head_dim", "attention_head_dim"], 128),
  });
  const activation = config.choice("mlp_hidden_act", ACTIVATIONS, "relu2");
  const bias = config.flag("mlp_bias", false);
  const router = sigmoidRouter(config, { normalize: "norm_topk_prob", groups: "n_group", topGroups: "topk_group" });
  const latent = config.value("moe_latent_size") === undefined ? undefined : config.count("moe_latent_size");
  const experts = moeFields({
    type: "moe",
    n_experts: config.experts("n_routed_experts", 8),
    top_k: config.experts("num_experts_per_tok", 2),
    d_ff: config.count("moe_intermediate_size", 7688),
    activation,
    gated: false,
    latent,
    router,
    shared: tidy({ d_ff: config.count("moe_shared_expert_intermediate_size", 7688), bias: unless(bias, false) }),
  });
  const mlp = mlpFields(config.count("intermediate_size", 21504), activation, { gated: false, bias });
  const { stack, fields } = stackLayers(
    layerNames(config).map((name) => [name]),
    { M: { mixer }, "*": { mixer: attention }, "-": { ffn: mlp }, E: { ffn: experts } },
  );
  return {
    file: { ...decoder, head: { tied: false }, ...fields },
    stack,
    table: decoderTable({
      tied: false,
      prefixes: ["backbone.", "model.", ""],
      embedding: "embeddings",
      finalNorm: "norm_f",
      blocks: {
        M: [...normRules("norm"), ...mamba2Rules("mixer.")],
        "*": [...normRules("norm"), ...attentionRules("mixer.")],
        "-": [
          ...normRules("norm"),
          ...linear("mixer.up_proj", "ffn.up_proj"),
          ...linear("mixer.down_proj", "ffn.down_proj"),
        ],
        E: [
          ...normRules("norm"),
          rule("mixer.gate.weight", "ffn.router.weight"),
          rule("mixer.gate.e_score_correction_bias", "ffn.router.selection_bias"),
          expertRules("mixer.", ["", "up_proj", "down_proj"], false),
          ...sharedExpertRules("mixer.shared_experts."),
          rule("mixer.fc1_latent_proj.weight", "ffn.latent_in.weight"),
          rule("mixer.fc2_latent_proj.weight", "ffn.latent_out.weight"),
        ],
      },
      ignored: [{ stored: "mtp.*", reason: "the heads that predict several tokens ahead, for speculative decoding" }],
    }),
  };
}

/** The blocks of the stack, from the pattern or the list of kinds. */
function layerNames(config: ConfigReader): string[] {
  const pattern = config.value("hybrid_override_pattern");
  if (typeof pattern === "string" && config.value("layers_block_type") === undefined) {
    const wrong = /[^-M*E]/.exec(pattern)?.[0];
    if (wrong !== undefined) {
      config.problem("hybrid_override_pattern", `${JSON.stringify(wrong)} is no kind of layer; allowed: M, *, - and E`);
    }
    config.agrees("num_hidden_layers", pattern.length, "the length of hybrid_override_pattern");
    if (pattern.length > 10_000) config.problem("hybrid_override_pattern", "more than 10000 layers");
    return [...pattern.slice(0, 10_000)];
  }
  const given = config.value("layers_block_type");
  const count = Array.isArray(given) ? given.length : 0;
  config.agrees("num_hidden_layers", count, "the length of layers_block_type");
  if (count === 0) config.problem("layers_block_type", "missing; allowed: a list of kinds of layers");
  if (count > 10_000) config.problem("layers_block_type", "more than 10000 layers");
  const kinds = readLayerTypes(config, "layers_block_type", count, Object.keys(KINDS), () => "mlp");
  return kinds.slice(0, 10_000).map((kind) => KINDS[kind] ?? "-");
}

function configure(spec: ArchitectureSpec): ConfigFields | undefined {
  const [mixer] = operatorsOf(spec, "mamba2");
  const [attention] = operatorsOf(spec, "attention");
  const [mlp] = operatorsOf(spec, "mlp");
  const [moe] = operatorsOf(spec, "moe");
  if (mixer === undefined) return undefined;
  const kinds = { mamba2: "linear_attention", attention: "full_attention", mlp: "mlp", moe: "moe" } as const;
  const types = spec.layers.map(({ branches }) => {
    const type = branches.length === 1 ? branches[0]?.operator.type : undefined;
    return type !== undefined && type in kinds ? kinds[type as keyof typeof kinds] : undefined;
  });
  if (types.some((type) => type === undefined)) return undefined;
  return tidy({
    ...writeDecoder(spec, "layer_norm_epsilon"),
    tie_word_embeddings: false,
    ...writeMamba2(mixer, NAMES),
    time_step_min: mixer.dt_limit[0],
    expand: mixer.d_inner / spec.d_model,
    chunk_size: 128,
    mamba_hidden_act: "silu",
    layers_block_type: types,
    num_attention_heads: attention?.n_heads,
    num_key_value_heads: attention?.n_kv_heads,
    head_dim: attention?.head_dim,
    attention_bias: false,
    intermediate_size: mlp?.d_ff,
    mlp_hidden_act: ACTIVATION_NAMES[mlp?.activation ?? moe?.activation ?? "relu2"],
    mlp_bias: mlp?.bias ?? moe?.shared?.bias,
    n_routed_experts: moe?.n_experts,
    n_shared_experts: 1,
    num_experts_per_tok: moe?.top_k,
    moe_intermediate_size: moe?.d_ff,
    moe_shared_expert_intermediate_size: moe?.shared?.d_ff,
    moe_latent_size: moe === undefined ? undefined : moe.latent,
    norm_topk_prob: moe?.router.normalize,
    n_group: moe?.router.n_groups,
    topk_group: moe?.router.top_groups,
    routed_scaling_factor: moe?.router.scale,
    residual_in_fp32: false,
    max_position_embeddings: 4096,
  });
}
