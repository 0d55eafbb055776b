// OLMo-Hybrid (Ai2 2026): Gated DeltaNet layers with norms before, and attention layers with norms after, their branches.
import type { ArchitectureSpec } from "../../../spec/types.ts";
import type { ConfigReader } from "../config.ts";
import { type ConfigFields, type Conversion, type Family, stackLayers, tidy, unless } from "../family.ts";
import { readRope, writeRope } from "../rope.ts";
import { type Alternatives, convolution, convolutionShape, linear, rule } from "../table.ts";
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
import { attentionRules, decoderTable, mlpRules, normRules } from "./rules.ts";

export const olmoHybrid: Family = {
  modelTypes: ["olmo_hybrid"],
  architecture: "OlmoHybridForCausalLM",
  convert,
  configure,
};

const LINEAR = "linear_attention";
const FULL = "full_attention";
/** eps of the norm of Gated DeltaNet's output, which the configuration does not say. */
const OUTPUT_EPS = 1e-5;

function convert(config: ConfigReader): Conversion {
  // How decays and steps start.
  config.neutral("linear_a_log_max", "linear_a_log_min", "linear_dt_max", "linear_dt_min", "linear_dt_init_floor");
  const decoder = readDecoder(config, { width: 3840, vocabulary: 100352, eps: ["rms_norm_eps", 1e-6] });
  const { d_model } = decoder;
  const n_heads = config.count("num_attention_heads", 30);
  const bias = config.flag("attention_bias", false);
  const keyHeads = config.count("linear_num_key_heads", n_heads);
  const valueHeads = config.count("linear_num_value_heads", n_heads);
  const keyDim = config.count("linear_key_head_dim", Math.floor((0.75 * d_model) / keyHeads));
  const linearMixer = tidy({
    type: "gated_delta" as const,
    n_heads: valueHeads,
    n_key_heads: unless(keyHeads, valueHeads),
    key_head_dim: keyDim,
    value_head_dim: config.count("linear_value_head_dim", 2 * keyDim),
    d_conv: unless(config.count("linear_conv_kernel_dim", 4), 4),
    allow_neg_eigval: unless(config.flag("linear_allow_neg_eigval", true), false),
    output_norm: { eps: OUTPUT_EPS },
  });
  const attention = attentionFields({
    type: "attention",
    n_heads,
    n_kv_heads: config.count("num_key_value_heads", n_heads),
    head_dim: unless(config.count("head_dim", Math.floor(d_model / n_heads)), d_model / n_heads),
    // null, as in the released checkpoints: no positions at all.
    rope: config.isNull("rope_parameters") ? nothing(config) : readRope(config, { theta: 500_000, maxLength: 65536 }),
    qk_norm: { over: "all" },
    qkv_bias: bias,
    output_bias: bias,
  });
  const ffn = mlpFields(config.count("intermediate_size", 11008), config.choice("hidden_act", ACTIVATIONS, "silu"));
  const layers = config.layers("num_hidden_layers", 32);
  const types = readLayerTypes(config, "layer_types", layers, [LINEAR, FULL], (i) => (i % 4 === 3 ? FULL : LINEAR));
  const { stack, fields } = stackLayers(
    types.map((type) => (type === FULL ? ["*", "p"] : ["D", "-"])),
    {
      D: { mixer: linearMixer },
      "-": { ffn },
      "*": { norm: false, post_norm: true, mixer: attention },
      p: { norm: false, post_norm: true, ffn },
    },
  );
  return {
    file: { ...decoder, ...fields },
    stack,
    table: decoderTable({
      tied: decoder.head.tied,
      blocks: {
        D: [
          ...normRules(["attention_layer_norm", "input_layernorm"]),
          ...["q", "k", "v", "a", "b", "g", "o"].flatMap((name) =>
            linear(`linear_attn.${name}_proj`, `mixer.${name}_proj`),
          ),
          convolutions(),
          rule("linear_attn.A_log", "mixer.A_log"),
          rule("linear_attn.dt_bias", "mixer.dt_bias"),
          rule("linear_attn.o_norm.weight", "mixer.o_norm.weight"),
        ],
        "-": [...normRules(["feedforward_layer_norm", "post_attention_layernorm"]), ...mlpRules("mlp.")],
        "*": [
          ...normRules(["post_attention_layernorm", "feedforward_layer_norm"], "post_norm"),
          ...attentionRules("self_attn."),
          ...linear("self_attn.q_norm", "mixer.q_norm"),
          ...linear("self_attn.k_norm", "mixer.k_norm"),
        ],
        p: [...normRules("post_feedforward_layernorm", "post_norm"), ...mlpRules("mlp.")],
      },
    }),
  };
}

/** Marks rope_parameters as read. */
function nothing(config: ConfigReader): false {
  config.neutral("rope_parameters", "rope_theta", "rope_scaling");
  return false;
}

/**
 * The three convolutions: one tensor each; or, as transformers writes them, the rows of all three cut into equal parts,
 * whatever their widths; or one tensor, as it holds them in memory.
 */
function convolutions(): Alternatives {
  const parts = ["mixer.conv_q.weight", "mixer.conv_k.weight", "mixer.conv_v.weight"];
  const names = ["q", "k", "v"].map((name) => `linear_attn.${name}_conv1d.weight`);
  return {
    either: [
      names.map((name, i) => rule(name, parts[i] ?? "", { shape: convolutionShape })),
      [{ ...rule(names, parts, { shape: convolutionShape }), cut: true }],
      convolution(
        "linear_attn.conv1d",
        parts.map((name) => name.replace(".weight", "")),
      ).slice(0, 1),
    ],
  };
}

function configure(spec: ArchitectureSpec): ConfigFields | undefined {
  const [delta] = operatorsOf(spec, "gated_delta");
  const [attention] = operatorsOf(spec, "attention");
  const [mlp] = operatorsOf(spec, "mlp");
  const layers = pairs(spec.layers);
  if (delta === undefined || mlp === undefined || layers === undefined) return undefined;
  const eps = spec.final_norm?.eps ?? 1e-6;
  return tidy({
    ...writeDecoder(spec),
    rms_norm_eps: eps,
    linear_num_key_heads: delta.n_key_heads,
    linear_num_value_heads: delta.n_heads,
    linear_key_head_dim: delta.key_head_dim,
    linear_value_head_dim: delta.value_head_dim,
    linear_conv_kernel_dim: delta.d_conv,
    linear_allow_neg_eigval: delta.allow_neg_eigval,
    num_hidden_layers: layers.length,
    layer_types: layers.map(([{ branches }]) => (branches[0]?.operator.type === "attention" ? FULL : LINEAR)),
    num_attention_heads: attention?.n_heads ?? delta.n_heads,
    num_key_value_heads: attention?.n_kv_heads ?? delta.n_heads,
    head_dim: attention === undefined ? undefined : unless(attention.head_dim, spec.d_model / attention.n_heads),
    attention_bias: attention?.qkv_bias,
    rope_parameters: attention?.rope == null ? null : writeRope(attention.rope, attention.head_dim),
    intermediate_size: mlp.d_ff,
    hidden_act: ACTIVATION_NAMES[mlp.activation],
    max_position_embeddings: 65536,
  });
}
