// LFM2 (Liquid AI 2025): gated short convolutions, attention with normed queries and keys in some layers, an MLP or experts
// after each.
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
import { convolution, linear, rule } from "../table.ts";
import { moeFields } from "./moe.ts";
import { attentionFields, mlpFields, operatorsOf, pairs, readDecoder, readLayerTypes, writeDecoder } from "./parts.ts";
import { attentionRules, decoderTable, expertRules, type MlpNames, mlpRules, normRules } from "./rules.ts";

interface Variant extends FamilyVariant {
  readonly width: number;
  readonly intermediate: number;
  readonly experts: boolean;
}

const family = variants<Variant>(convert, configure);

export const lfm2 = family({
  type: "lfm2",
  architecture: "Lfm2ForCausalLM",
  width: 2560,
  intermediate: 12288,
  experts: false,
});

export const lfm2Moe = family({
  type: "lfm2_moe",
  architecture: "Lfm2MoeForCausalLM",
  width: 2048,
  intermediate: 7168,
  experts: true,
});

const CONV = "conv";
const FULL = "full_attention";
const NAMES: MlpNames = ["w1", "w3", "w2"];

function convert(config: ConfigReader, variant: Variant): Conversion {
  // Sizes of blocks that older files repeat, and how weights started.
  config.neutral("block_dim", "block_mlp_init_scale", "block_norm_eps", "block_out_init_scale", "block_use_swiglu");
  config.neutral(
    "block_use_xavier_init",
    "conv_dim",
    "conv_dim_out",
    "conv_use_xavier_init",
    "use_pos_enc",
    "num_heads",
  );
  config.must("hidden_act", [null, "silu", "swish"], "another activation");
  const decoder = readDecoder(config, {
    width: variant.width,
    vocabulary: 65536,
    eps: ["norm_eps", 1e-5],
    tied: true,
  });
  const bias = config.flag("conv_bias", false);
  const conv = tidy({
    type: "short_conv" as const,
    d_conv: config.count("conv_L_cache", 3),
    bias: unless(bias, false),
    conv_bias: unless(bias, false),
  });
  const n_heads = config.count("num_attention_heads", 32);
  const attention = attentionFields({
    type: "attention",
    n_heads,
    n_kv_heads: config.count("num_key_value_heads", 8),
    rope: readRope(config, { theta: 1_000_000, maxLength: 128_000 }),
    qk_norm: true,
  });
  const layers = config.layers("num_hidden_layers", 32);
  const indices = config.value("full_attn_idxs") === undefined ? undefined : config.numbers("full_attn_idxs");
  const types = readLayerTypes(config, "layer_types", layers, [CONV, FULL], (i) =>
    indices === undefined || indices.includes(i) ? FULL : CONV,
  );
  const dense = variant.experts ? config.count("num_dense_layers", 2, { minimum: 0 }) : layers;
  const width = config.count(["block_ff_dim", "intermediate_size"], variant.intermediate);
  const d_ff = variant.experts ? width : adjustedWidth(config, width);
  const { stack, fields } = stackLayers(
    types.map((type, i) => [type === FULL ? "*" : "C", i < dense ? "-" : "E"]),
    {
      C: { mixer: conv },
      "*": { mixer: attention },
      "-": { ffn: mlpFields(d_ff, "silu") },
      ...(variant.experts ? { E: { ffn: readExperts(config) } } : {}),
    },
  );
  return {
    file: { ...decoder, ...fields },
    stack,
    table: decoderTable({
      tied: decoder.head.tied,
      finalNorm: "embedding_norm",
      blocks: {
        C: [
          ...normRules("operator_norm"),
          ...linear("conv.in_proj", ["mixer.in_proj_B", "mixer.in_proj_C", "mixer.in_proj_x"]),
          ...convolution("conv.conv", "mixer.conv"),
          ...linear("conv.out_proj", "mixer.out_proj"),
        ],
        "*": [
          ...normRules("operator_norm"),
          ...attentionRules("self_attn.", "mixer", "out_proj"),
          ...linear("self_attn.q_layernorm", "mixer.q_norm"),
          ...linear("self_attn.k_layernorm", "mixer.k_norm"),
        ],
        "-": [...normRules("ffn_norm"), ...mlpRules("feed_forward.", NAMES)],
        E: [
          ...normRules("ffn_norm"),
          rule("feed_forward.gate.weight", "ffn.router.weight"),
          rule("feed_forward.expert_bias", "ffn.router.selection_bias"),
          expertRules("feed_forward.", NAMES),
        ],
      },
    }),
  };
}

/** The MLP's width, which is two thirds of what is written, scaled and rounded up, unless the file says otherwise. */
function adjustedWidth(config: ConfigReader, width: number): number {
  const multiplier = config.number("block_ffn_dim_multiplier", 1);
  const multiple = config.count("block_multiple_of", 256);
  if (!config.flag("block_auto_adjust_ff_dim", true)) return width;
  return multiple * Math.ceil(Math.floor(multiplier * Math.floor((2 * width) / 3)) / multiple);
}

function readExperts(config: ConfigReader) {
  return moeFields({
    type: "moe",
    n_experts: config.experts("num_experts", 32),
    top_k: config.experts("num_experts_per_tok", 4),
    d_ff: config.count("moe_intermediate_size", 1792),
    router: {
      score: "sigmoid",
      selection_bias: config.flag("use_expert_bias", true),
      normalize: config.flag("norm_topk_prob", true),
      normalize_eps: 1e-6,
      scale: config.number("routed_scaling_factor", 1),
    },
  });
}

function configure(spec: ArchitectureSpec, { experts }: Variant): ConfigFields | undefined {
  const [conv] = operatorsOf(spec, "short_conv");
  const [attention] = operatorsOf(spec, "attention");
  const [mlp] = operatorsOf(spec, "mlp");
  const [moe] = operatorsOf(spec, "moe");
  const layers = pairs(spec.layers);
  const d_ff = mlp?.d_ff ?? moe?.d_ff;
  if (layers === undefined || (conv ?? attention) === undefined || d_ff === undefined) return undefined;
  if (experts !== (moe !== undefined)) return undefined;
  return tidy({
    ...writeDecoder(spec, "norm_eps"),
    num_hidden_layers: layers.length,
    layer_types: layers.map(([{ branches }]) => (branches[0]?.operator.type === "attention" ? FULL : CONV)),
    conv_L_cache: conv?.d_conv ?? 3,
    conv_bias: conv?.conv_bias ?? false,
    num_attention_heads: attention?.n_heads ?? 1,
    num_key_value_heads: attention?.n_kv_heads ?? 1,
    rope_parameters: attention?.rope == null ? undefined : writeRope(attention.rope, attention.head_dim),
    intermediate_size: d_ff,
    block_auto_adjust_ff_dim: experts ? undefined : false,
    ...(moe === undefined
      ? {}
      : {
          num_dense_layers: layers.findIndex(([, { branches }]) => branches[0]?.operator.type === "moe"),
          num_experts: moe.n_experts,
          num_experts_per_tok: moe.top_k,
          moe_intermediate_size: moe.d_ff,
          use_expert_bias: moe.router.selection_bias,
          norm_topk_prob: moe.router.normalize,
          routed_scaling_factor: moe.router.scale,
        }),
    max_position_embeddings: 128_000,
  });
}
