// Llama (Touvron et al. 2023) and Qwen3 (Yang et al. 2025), which norms queries and keys per head and may have windows in
// its upper layers.
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
import { attentionRules, decoderTable, mlpRules, normRules } from "./rules.ts";

interface Variant extends FamilyVariant {
  readonly vocabulary: number;
  readonly intermediate: number;
  readonly maxLength: number;
  /** Default of head_dim; undefined: hidden_size / num_attention_heads. */
  readonly headDim: number | undefined;
  readonly qkNorm: boolean;
  readonly mlpBias: boolean;
  readonly windows: boolean;
}

const family = variants<Variant>(convert, configure);

export const llama = family({
  type: "llama",
  architecture: "LlamaForCausalLM",
  vocabulary: 32000,
  intermediate: 11008,
  maxLength: 2048,
  headDim: undefined,
  qkNorm: false,
  mlpBias: true,
  windows: false,
});

export const qwen3 = family({
  type: "qwen3",
  architecture: "Qwen3ForCausalLM",
  vocabulary: 151936,
  intermediate: 22016,
  maxLength: 32768,
  headDim: 128,
  qkNorm: true,
  mlpBias: false,
  windows: true,
});

function convert(config: ConfigReader, variant: Variant): Conversion {
  config.neutral("attention_dropout");
  config.must("pretraining_tp", [null, 1], "matrices cut for tensor parallelism");
  const d_model = config.count("hidden_size", 4096);
  const n_heads = config.count("num_attention_heads", 32);
  const head_dim = config.count("head_dim", variant.headDim ?? Math.floor(d_model / n_heads));
  const tied = config.flag("tie_word_embeddings", false);
  const bias = config.flag("attention_bias", false);
  const eps = config.number("rms_norm_eps", 1e-6);
  const mixer = attentionFields({
    type: "attention",
    n_heads,
    n_kv_heads: config.count("num_key_value_heads", variant.windows ? 32 : n_heads),
    head_dim: unless(head_dim, d_model / n_heads),
    rope: readRope(config, { maxLength: variant.maxLength }),
    qk_norm: variant.qkNorm ? true : undefined,
    qkv_bias: bias,
    output_bias: bias,
  });
  const mlpBias = variant.mlpBias && config.flag("mlp_bias", false);
  const activation = config.choice("hidden_act", ACTIVATIONS, "silu");
  const ffn = mlpFields(config.count("intermediate_size", variant.intermediate), activation, { bias: mlpBias });
  const layers = config.layers("num_hidden_layers", 32);
  const { window, windowed } = variant.windows ? readWindows(config, layers) : { window: undefined, windowed: [] };
  const kinds = Array.from({ length: layers }, (_, i) => [windowed[i] === true ? "W" : "*", "-"]);
  const { stack, fields } = stackLayers(kinds, {
    "*": { mixer },
    W: { mixer: { ...mixer, window } },
    "-": { ffn },
  });
  const attention = [
    ...normRules("input_layernorm"),
    ...attentionRules("self_attn."),
    ...linear("self_attn.q_norm", "mixer.q_norm"),
    ...linear("self_attn.k_norm", "mixer.k_norm"),
  ];
  return {
    file: {
      d_model,
      vocab_size: config.count("vocab_size", variant.vocabulary),
      norm: { type: "rms_norm", eps },
      head: { tied },
      init: { std: config.number("initializer_range", 0.02) },
      ...fields,
    },
    stack,
    table: decoderTable({
      tied,
      blocks: {
        "*": attention,
        W: attention,
        "-": [...normRules("post_attention_layernorm"), ...mlpRules("mlp.")],
      },
    }),
  };
}

/** The window, and which layers have it. */
function readWindows(config: ConfigReader, layers: number): { window: number | undefined; windowed: boolean[] } {
  const used = config.flag("use_sliding_window", false);
  const window = used ? config.count("sliding_window", 4096) : undefined;
  const first = config.count("max_window_layers", 28, { minimum: 0 });
  config.neutral("sliding_window");
  const types = readLayerTypes(config, "layer_types", layers, ["full_attention", "sliding_attention"], (i) =>
    window !== undefined && i >= first ? "sliding_attention" : "full_attention",
  );
  const windowed = types.map((type) => type === "sliding_attention");
  if (window === undefined && windowed.includes(true)) {
    config.problem("layer_types", "has sliding_attention, but use_sliding_window is false");
  }
  return { window, windowed };
}

function configure(spec: ArchitectureSpec, variant: Variant): ConfigFields | undefined {
  const [attention] = operatorsOf(spec, "attention");
  const [mlp] = operatorsOf(spec, "mlp");
  const layers = pairs(spec.layers);
  if (attention === undefined || mlp === undefined || layers === undefined) return undefined;
  const windows = layers.map(([{ branches }]) => {
    const operator = branches[0]?.operator;
    return operator?.type === "attention" ? operator.window : null;
  });
  const window = windows.find((one) => one !== null);
  return tidy({
    ...writeDecoder(spec),
    intermediate_size: mlp.d_ff,
    num_hidden_layers: layers.length,
    num_attention_heads: attention.n_heads,
    num_key_value_heads: attention.n_kv_heads,
    head_dim: attention.head_dim,
    hidden_act: ACTIVATION_NAMES[mlp.activation],
    max_position_embeddings: variant.maxLength,
    rope_parameters: attention.rope === null ? undefined : writeRope(attention.rope, attention.head_dim),
    attention_bias: attention.qkv_bias,
    mlp_bias: variant.mlpBias ? mlp.bias : undefined,
    ...(variant.windows
      ? {
          use_sliding_window: window !== undefined,
          sliding_window: window ?? null,
          layer_types: windows.map((one) => (one === null ? "full_attention" : "sliding_attention")),
        }
      : {}),
  });
}
