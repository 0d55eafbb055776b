// Qwen3-Next and the text models of Qwen3.5 (Qwen team 2025-26): Gated DeltaNet, every fourth layer gated attention with a
// part of each head rotated; norms of 1 + w.

import type { MoeFields } from "../../../spec/types.generated.ts";
import type { ArchitectureSpec } from "../../../spec/types.ts";
import type { ConfigReader } from "../config.ts";
import {
  type ConfigFields,
  type Conversion,
  type FamilyVariant,
  stackLayers,
  tidy,
  unless,
  variants,
} from "../family.ts";
import { readRope, writeRope } from "../rope.ts";
import { convolution, linear, type Rule, rule } from "../table.ts";
import { balanceLoss, moeFields } from "./moe.ts";
import {
  ACTIVATION_NAMES,
  ACTIVATIONS,
  attentionFields,
  mlpFields,
  operatorsOf,
  pairs,
  readDecoder,
  readLayerTypes,
  writeDecoder,
} from "./parts.ts";
import { attentionRules, decoderTable, expertRules, mlpRules, normRules, sharedExpertRules } from "./rules.ts";

interface Variant extends FamilyVariant {
  readonly width: number;
  readonly depth: number;
  readonly vocabulary: number;
  readonly intermediate: number;
  readonly kvHeads: number;
  readonly maxLength: number;
  /** Projections packed by key head (Qwen3-Next), or one after the other. */
  readonly packed: boolean;
  /** Experts: in the layers that the configuration says, in every layer, or nowhere. */
  readonly experts: "some" | "all" | "none";
}

const family = variants<Variant>(convert, configure);

export const qwen3Next = family({
  type: "qwen3_next",
  architecture: "Qwen3NextForCausalLM",
  width: 2048,
  depth: 48,
  vocabulary: 151936,
  intermediate: 5632,
  kvHeads: 2,
  maxLength: 32768,
  packed: true,
  experts: "some",
});

export const qwen35 = family({
  type: "qwen3_5_text",
  partOf: ["qwen3_5"],
  architecture: "Qwen3_5ForCausalLM",
  width: 4096,
  depth: 32,
  vocabulary: 248320,
  intermediate: 12288,
  kvHeads: 4,
  maxLength: 32768,
  packed: false,
  experts: "none",
});

export const qwen35Moe = family({
  type: "qwen3_5_moe_text",
  partOf: ["qwen3_5_moe"],
  architecture: "Qwen3_5MoeForCausalLM",
  width: 2048,
  depth: 40,
  vocabulary: 248320,
  intermediate: 5632,
  kvHeads: 2,
  maxLength: 32768,
  packed: false,
  experts: "all",
});

const LINEAR = "linear_attention";
const FULL = "full_attention";

function convert(config: ConfigReader, variant: Variant): Conversion {
  const { width, depth, vocabulary, packed, maxLength } = variant;
  const eps = ["rms_norm_eps", 1e-6] as const;
  const decoder = readDecoder(config, { width, vocabulary, eps, normWeight: "one_plus" });
  config.neutral("mtp_num_hidden_layers", "mtp_use_dedicated_embeddings");
  if (variant.experts === "none") config.neutral("router_aux_loss_coef");
  config.must("use_sliding_window", [null, false], "attention in a window");
  config.must("attn_output_gate", [null, true], "attention without a gate");
  // Read with use_sliding_window only; the type of states.
  config.neutral("sliding_window", "max_window_layers", "mamba_ssm_dtype");
  const activation = config.choice("hidden_act", ACTIVATIONS, "silu");
  if (activation !== "silu") config.problem("hidden_act", "another activation of the convolution is not supported");
  const keyHeads = config.count("linear_num_key_heads", 16);
  const valueHeads = config.count("linear_num_value_heads", 32);
  const keyDim = config.count("linear_key_head_dim", 128);
  const delta = tidy({
    type: "gated_delta" as const,
    n_heads: valueHeads,
    n_key_heads: unless(keyHeads, valueHeads),
    key_head_dim: keyDim,
    value_head_dim: unless(config.count("linear_value_head_dim", 128), keyDim),
    d_conv: unless(config.count("linear_conv_kernel_dim", 4), 4),
  });
  const n_heads = config.count("num_attention_heads", 16);
  const bias = config.flag("attention_bias", false);
  const attention = attentionFields({
    type: "attention",
    n_heads,
    n_kv_heads: config.count("num_key_value_heads", variant.kvHeads),
    head_dim: config.count("head_dim", 256),
    rope: readRope(config, { fraction: 0.25, maxLength }),
    qk_norm: { weight: "one_plus" },
    output_gate: "sigmoid",
    qkv_bias: bias,
    output_bias: bias,
  });
  const layers = config.layers("num_hidden_layers", depth);
  const interval = config.count("full_attention_interval", 4);
  const types = readLayerTypes(config, "layer_types", layers, [LINEAR, FULL], (i) =>
    (i + 1) % interval === 0 ? FULL : LINEAR,
  );
  const routed = routedLayers(config, variant);
  const intermediate = variant.experts === "all" ? 1 : config.count("intermediate_size", variant.intermediate);
  const { stack, fields } = stackLayers(
    types.map((type, i) => [type === FULL ? "*" : "D", routed(i) ? "E" : "-"]),
    {
      D: { mixer: delta },
      "*": { mixer: attention },
      "-": { ffn: mlpFields(intermediate, activation) },
      ...(variant.experts === "none" ? {} : { E: { ffn: readExperts(config, variant) } }),
    },
  );
  return {
    file: { ...decoder, ...fields },
    stack,
    table: decoderTable({
      tied: decoder.head.tied,
      // Text models are also stored inside of multimodal ones.
      prefixes: ["model.", "model.language_model.", ""],
      blocks: {
        D: [...normRules("input_layernorm"), ...(packed ? packedRules(keyHeads) : flatRules()), ...deltaRules()],
        "*": [
          ...normRules("input_layernorm"),
          ...linear("self_attn.q_proj", ["mixer.q_proj", "mixer.g_proj"], { groups: n_heads }),
          ...attentionRules("self_attn.").filter(({ parameters }) => parameters[0]?.includes("q_proj") === false),
          ...linear("self_attn.q_norm", "mixer.q_norm"),
          ...linear("self_attn.k_norm", "mixer.k_norm"),
        ],
        "-": [...normRules("post_attention_layernorm"), ...mlpRules("mlp.")],
        E: [
          ...normRules("post_attention_layernorm"),
          rule("mlp.gate.weight", "ffn.router.weight"),
          expertRules("mlp."),
          ...sharedExpertRules("mlp.shared_expert.", "mlp.shared_expert_gate.weight"),
        ],
      },
      ignored: [
        { stored: "mtp.*", reason: "the head that predicts several tokens ahead, for speculative decoding" },
        { stored: "model.visual.*", reason: "the vision part of a multimodal model" },
      ],
    }),
  };
}

/** Which layers have experts. */
function routedLayers(config: ConfigReader, { experts }: Variant): (layer: number) => boolean {
  if (experts !== "some") return () => experts === "all";
  const dense = config.numbers("mlp_only_layers", []);
  const step = config.count("decoder_sparse_step", 1);
  const count = config.experts("num_experts", 512);
  return (layer) => count > 0 && !dense.includes(layer) && (layer + 1) % step === 0;
}

function readExperts(config: ConfigReader, { experts }: Variant): MoeFields {
  if (experts === "all") config.neutral("norm_topk_prob", "intermediate_size");
  const normalize = experts === "all" || config.flag("norm_topk_prob", true);
  return moeFields({
    type: "moe",
    n_experts: config.experts("num_experts", experts === "all" ? 256 : 512),
    top_k: config.experts("num_experts_per_tok", experts === "all" ? 8 : 10),
    d_ff: config.count("moe_intermediate_size", 512),
    router: { normalize, ...balanceLoss(config) },
    shared: { d_ff: config.count("shared_expert_intermediate_size", 512), gate: "sigmoid" },
  });
}

/** Rows of each key head together: its query and key, and the values and gates of the value heads that share it. */
function packedRules(keyHeads: number): Rule[] {
  const by = { groups: keyHeads };
  const names = (...list: string[]): string[] => list.map((name) => `mixer.${name}_proj`);
  return [
    ...linear("linear_attn.in_proj_qkvz", names("q", "k", "v", "g"), by),
    ...linear("linear_attn.in_proj_ba", names("b", "a"), by),
  ];
}

function flatRules(): Rule[] {
  return [
    ...linear("linear_attn.in_proj_qkv", ["mixer.q_proj", "mixer.k_proj", "mixer.v_proj"]),
    ...linear("linear_attn.in_proj_z", "mixer.g_proj"),
    ...linear("linear_attn.in_proj_b", "mixer.b_proj"),
    ...linear("linear_attn.in_proj_a", "mixer.a_proj"),
  ];
}

function deltaRules(): Rule[] {
  return [
    ...convolution("linear_attn.conv1d", ["mixer.conv_q", "mixer.conv_k", "mixer.conv_v"]),
    rule("linear_attn.A_log", "mixer.A_log"),
    rule("linear_attn.dt_bias", "mixer.dt_bias"),
    rule("linear_attn.norm.weight", "mixer.o_norm.weight"),
    ...linear("linear_attn.out_proj", "mixer.o_proj"),
  ];
}

function configure(spec: ArchitectureSpec, variant: Variant): ConfigFields | undefined {
  const [delta] = operatorsOf(spec, "gated_delta");
  const [attention] = operatorsOf(spec, "attention");
  const [mlp] = operatorsOf(spec, "mlp");
  const [moe] = operatorsOf(spec, "moe");
  const layers = pairs(spec.layers);
  if (delta === undefined || layers === undefined || (mlp === undefined && moe === undefined)) return undefined;
  const dense = layers.flatMap(([, { branches }], i) => (branches[0]?.operator.type === "mlp" ? [i] : []));
  return tidy({
    ...writeDecoder(spec),
    linear_num_key_heads: delta.n_key_heads,
    linear_num_value_heads: delta.n_heads,
    linear_key_head_dim: delta.key_head_dim,
    linear_value_head_dim: delta.value_head_dim,
    linear_conv_kernel_dim: delta.d_conv,
    num_hidden_layers: layers.length,
    layer_types: layers.map(([{ branches }]) => (branches[0]?.operator.type === "attention" ? FULL : LINEAR)),
    num_attention_heads: attention?.n_heads,
    num_key_value_heads: attention?.n_kv_heads,
    head_dim: attention?.head_dim,
    attention_bias: attention?.qkv_bias,
    rope_parameters: attention?.rope == null ? undefined : writeRope(attention.rope, attention.head_dim, 0.25),
    intermediate_size: mlp?.d_ff,
    hidden_act: ACTIVATION_NAMES[mlp?.activation ?? "silu"],
    ...(variant.experts === "none" || moe === undefined
      ? { num_experts: variant.experts === "some" ? 0 : undefined }
      : {
          num_experts: moe.n_experts,
          num_experts_per_tok: moe.top_k,
          moe_intermediate_size: moe.d_ff,
          shared_expert_intermediate_size: moe.shared?.d_ff,
          norm_topk_prob: moe.router.normalize,
          router_aux_loss_coef: moe.router.balance_loss,
          mlp_only_layers: variant.experts === "some" ? dense : undefined,
        }),
    max_position_embeddings: variant.maxLength,
  });
}
