// Bamba (IBM 2024): Mamba-2 layers, some of attention with half of each head rotated, an MLP after each.
import type { ArchitectureSpec } from "../../../spec/types.ts";
import type { ConfigReader } from "../config.ts";
import { type ConfigFields, type Conversion, type Family, stackLayers, tidy } from "../family.ts";
import { readRope, writeRope } from "../rope.ts";
import {
  ACTIVATION_NAMES,
  attentionFields,
  mlpFields,
  operatorsOf,
  pairs,
  readDecoder,
  readLayerTypes,
  writeDecoder,
} from "./parts.ts";
import { attentionRules, decoderTable, mamba2Rules, mlpRules, normRules } from "./rules.ts";
import { neutralSsmFields, readExpandedMamba2, requireSilu, writeExpandedMamba2 } from "./state-space.ts";

export const bamba: Family = {
  modelTypes: ["bamba"],
  architecture: "BambaForCausalLM",
  convert,
  configure,
};

const MAMBA = "linear_attention";
const ATTENTION = "full_attention";

function convert(config: ConfigReader): Conversion {
  neutralSsmFields(config);
  config.neutral("z_loss_coefficient", "mamba_chunk_size", "attn_rotary_emb");
  requireSilu(config);
  const decoder = readDecoder(config, { width: 4096, vocabulary: 128000, eps: ["rms_norm_eps", 1e-5] });
  const { d_model } = decoder;
  const mixer = readExpandedMamba2(config, d_model);
  const n_heads = config.count("num_attention_heads", 32);
  const bias = config.flag("attention_bias", false);
  const attention = attentionFields({
    type: "attention",
    n_heads,
    n_kv_heads: config.count("num_key_value_heads", 8),
    rope: readRope(config, { fraction: 0.5, maxLength: 262144 }),
    qkv_bias: bias,
    output_bias: bias,
  });
  const layers = config.layers("num_hidden_layers", 32);
  const indices = config.numbers("attn_layer_indices", []);
  const types = readLayerTypes(config, ["layers_block_type", "layer_types"], layers, [MAMBA, ATTENTION], (i) =>
    indices.includes(i) ? ATTENTION : MAMBA,
  );
  const outside = indices.find((i) => !Number.isInteger(i) || i < 0 || i >= layers);
  if (outside !== undefined) config.problem("attn_layer_indices", `${outside} is none of ${layers} layers`);
  const { stack, fields } = stackLayers(
    types.map((type) => [type === ATTENTION ? "*" : "M", "-"]),
    {
      M: { mixer },
      "*": { mixer: attention },
      "-": {
        ffn: mlpFields(config.count("intermediate_size", 14336), "silu", { bias: config.flag("mlp_bias", false) }),
      },
    },
  );
  return {
    file: { ...decoder, ...fields },
    stack,
    table: decoderTable({
      tied: decoder.head.tied,
      finalNorm: "final_layernorm",
      blocks: {
        M: [...normRules("input_layernorm"), ...mamba2Rules("mamba.")],
        "*": [...normRules("input_layernorm"), ...attentionRules("self_attn.")],
        "-": [...normRules("pre_ff_layernorm"), ...mlpRules("feed_forward.")],
      },
    }),
  };
}

function configure(spec: ArchitectureSpec): ConfigFields | undefined {
  const [mixer] = operatorsOf(spec, "mamba2");
  const [attention] = operatorsOf(spec, "attention");
  const [mlp] = operatorsOf(spec, "mlp");
  const layers = pairs(spec.layers);
  if (mixer === undefined || mlp === undefined || layers === undefined) return undefined;
  return tidy({
    ...writeDecoder(spec),
    ...writeExpandedMamba2(mixer, spec.d_model),
    num_hidden_layers: layers.length,
    attn_layer_indices: layers.flatMap(([{ branches }], i) => (branches[0]?.operator.type === "attention" ? [i] : [])),
    num_attention_heads: attention?.n_heads ?? 1,
    num_key_value_heads: attention?.n_kv_heads ?? 1,
    attention_bias: attention?.qkv_bias,
    rope_parameters: attention?.rope == null ? undefined : writeRope(attention.rope, attention.head_dim, 0.5),
    intermediate_size: mlp.d_ff,
    hidden_act: ACTIVATION_NAMES[mlp.activation],
    mlp_bias: mlp.bias,
    max_position_embeddings: 262144,
  });
}
