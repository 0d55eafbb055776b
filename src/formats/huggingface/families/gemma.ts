// Gemma 2 (2024) and the text model of Gemma 3 (2025): norms before and after every branch, windowed and full attention in
// a fixed rhythm, norms of 1 + w, embeddings scaled by sqrt(d_model).
import type { RopeFields } from "../../../spec/types.generated.ts";
import type { ArchitectureSpec, AttentionSpec } from "../../../spec/types.ts";
import type { ConfigReader } from "../config.ts";
import { type ConfigFields, type Conversion, type FamilyVariant, stackLayers, tidy, variants } from "../family.ts";
import { readRope, writeRope } from "../rope.ts";
import { linear } from "../table.ts";
import {
  ACTIVATION_NAMES,
  ACTIVATIONS,
  attentionFields,
  mlpFields,
  operatorsOf,
  pairs,
  readLayerTypes,
  writeDecoder,
} from "./parts.ts";
import { attentionRules, decoderTable, mlpRules, normRules, tiedHead } from "./rules.ts";

interface Variant extends FamilyVariant {
  readonly type: "gemma2" | "gemma3_text";
  readonly vocabulary: number;
  readonly maxLength: number;
}

const family = variants<Variant>(convert, configure);

export const gemma2 = family({
  type: "gemma2",
  architecture: "Gemma2ForCausalLM",
  vocabulary: 256000,
  maxLength: 8192,
});

export const gemma3 = family({
  type: "gemma3_text",
  architecture: "Gemma3ForCausalLM",
  partOf: ["gemma3"],
  vocabulary: 262208,
  maxLength: 131072,
});

const SLIDING = "sliding_attention";
const FULL = "full_attention";

function convert(config: ConfigReader, { type, vocabulary, maxLength }: Variant): Conversion {
  const isThird = type === "gemma3_text";
  // hidden_act is what older files had; the model reads hidden_activation.
  config.neutral("attention_dropout", "hidden_act");
  config.must("use_bidirectional_attention", [null, false], "attention to later tokens");
  const d_model = config.count("hidden_size", 2304);
  const n_heads = config.count("num_attention_heads", 8);
  const head_dim = config.count("head_dim", 256);
  const tied = config.flag("tie_word_embeddings", true);
  const bias = config.flag("attention_bias", false);
  const attentionCap = config.value("attn_logit_softcapping");
  const softcap = isThird ? undefined : cap(config, "attn_logit_softcapping", 50);
  if (isThird && attentionCap !== undefined) {
    config.problem(
      "attn_logit_softcapping",
      "transformers does not apply it in this model; remove it, or set it to null",
    );
  }
  const base = attentionFields({
    type: "attention",
    n_heads,
    n_kv_heads: config.count("num_key_value_heads", 4),
    head_dim,
    scale: config.number("query_pre_attn_scalar", 256) ** -0.5,
    softcap,
    qk_norm: isThird ? { weight: "one_plus" } : undefined,
    qkv_bias: bias,
    output_bias: bias,
  });
  const rope = (kind: string): RopeFields => {
    if (!isThird) return readRope(config, { maxLength });
    const local = kind === SLIDING;
    const old = local ? { theta: "rope_local_base_freq", scaled: false } : { theta: "rope_theta", scaled: true };
    return readRope(config, { theta: local ? 10_000 : 1_000_000, maxLength, kind, old });
  };
  const layers = config.layers("num_hidden_layers", 26);
  const types = layerTypes(config, layers, isThird);
  const window = config.count("sliding_window", 4096);
  const mixers = {
    W: { post_norm: true, mixer: { ...base, window, rope: rope(SLIDING) } },
    "*": { post_norm: true, mixer: { ...base, rope: rope(FULL) } },
  };
  const activation = config.choice("hidden_activation", ACTIVATIONS, "gelu_pytorch_tanh");
  const { stack, fields } = stackLayers(
    types.map((one) => [one === SLIDING ? "W" : "*", "-"]),
    { ...mixers, "-": { post_norm: true, ffn: mlpFields(config.count("intermediate_size", 9216), activation) } },
  );
  const attention = [
    ...normRules("input_layernorm"),
    ...normRules("post_attention_layernorm", "post_norm"),
    ...attentionRules("self_attn."),
    ...linear("self_attn.q_norm", "mixer.q_norm"),
    ...linear("self_attn.k_norm", "mixer.k_norm"),
  ];
  return {
    file: {
      d_model,
      vocab_size: config.count("vocab_size", vocabulary),
      norm: { type: "rms_norm", eps: config.number("rms_norm_eps", 1e-6), weight: "one_plus" },
      embedding: { scale: "sqrt_d_model" },
      head: tidy({ tied, softcap: cap(config, "final_logit_softcapping", isThird ? undefined : 30) }),
      init: { std: config.number("initializer_range", 0.02) },
      ...fields,
    },
    stack,
    table: decoderTable({
      tied,
      prefixes: ["model.", "", "language_model.model.", "model.language_model."],
      head: ["lm_head", "language_model.lm_head"],
      blocks: {
        "*": attention,
        W: attention,
        "-": [
          ...normRules("pre_feedforward_layernorm"),
          ...normRules("post_feedforward_layernorm", "post_norm"),
          ...mlpRules("mlp."),
        ],
      },
      ignored: [
        ...tiedHead(tied, "language_model.lm_head.weight"),
        ...["vision_tower.*", "model.vision_tower.*", "multi_modal_projector.*", "model.multi_modal_projector.*"].map(
          (stored) => ({ stored, reason: "the vision part of a multimodal model" }),
        ),
      ],
    }),
  };
}

/** A soft cap: null stands for none, absent for the default. */
function cap(config: ConfigReader, name: string, fallback: number | undefined): number | undefined {
  const value = config.value(name);
  if (value === undefined) return config.isNull(name) ? undefined : fallback;
  return config.number(name);
}

function layerTypes(config: ConfigReader, layers: number, isThird: boolean): readonly string[] {
  const period = config.count(["sliding_window_pattern", "_sliding_window_pattern"], isThird ? 6 : 2);
  const kind = (layer: number): string => ((layer + 1) % period === 0 ? FULL : SLIDING);
  return readLayerTypes(config, "layer_types", layers, [SLIDING, FULL], kind);
}

function configure(spec: ArchitectureSpec, { type, maxLength }: Variant): ConfigFields | undefined {
  const [mlp] = operatorsOf(spec, "mlp");
  const attentions = operatorsOf(spec, "attention");
  const [attention] = attentions;
  const layers = pairs(spec.layers);
  if (attention === undefined || mlp === undefined || layers === undefined || attentions.length !== layers.length) {
    return undefined;
  }
  const isThird = type === "gemma3_text";
  const rope = ({ rope: own, head_dim }: AttentionSpec): unknown =>
    own === null ? undefined : writeRope(own, head_dim);
  const sliding = attentions.find(({ window }) => window !== null);
  const full = attentions.find(({ window }) => window === null);
  return tidy({
    ...writeDecoder(spec),
    intermediate_size: mlp.d_ff,
    num_hidden_layers: layers.length,
    num_attention_heads: attention.n_heads,
    num_key_value_heads: attention.n_kv_heads,
    head_dim: attention.head_dim,
    query_pre_attn_scalar: neat(attention.scale ** -2),
    hidden_activation: ACTIVATION_NAMES[mlp.activation],
    max_position_embeddings: maxLength,
    rope_parameters: isThird
      ? { [FULL]: rope(full ?? attention), [SLIDING]: rope(sliding ?? attention) }
      : rope(attention),
    sliding_window: sliding?.window ?? 4096,
    layer_types: attentions.map(({ window }) => (window === null ? FULL : SLIDING)),
    attention_bias: attention.qkv_bias,
    attn_logit_softcapping: isThird ? null : attention.softcap,
    final_logit_softcapping: spec.head.softcap,
    use_bidirectional_attention: false,
  });
}

/** A number without the last digits that came of rounding: 16 for 16.000000000000004. */
function neat(value: number): number {
  return Number(value.toPrecision(14));
}
