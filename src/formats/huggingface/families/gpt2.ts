// GPT-2 (Radford et al. 2019): learned positions, LayerNorm, biases everywhere, linear layers stored as [in, out].
import type { AttentionFields, BlockFields } from "../../../spec/types.generated.ts";
import type { ArchitectureSpec } from "../../../spec/types.ts";
import type { ConfigReader } from "../config.ts";
import { type ConfigFields, type Conversion, type Family, stackLayers, tidy } from "../family.ts";
import { linear } from "../table.ts";
import { ACTIVATIONS, mlpFields, operatorsOf, pairs } from "./parts.ts";
import { FINAL_NORM, normRules, tiedHead } from "./rules.ts";

const NAMES = { silu: "silu", gelu: "gelu", gelu_tanh: "gelu_new", relu: "relu", relu2: "relu2" } as const;

export const gpt2: Family = {
  modelTypes: ["gpt2"],
  architecture: "GPT2LMHeadModel",
  convert,
  configure,
};

function convert(config: ConfigReader): Conversion {
  // Dropout and the heads for other tasks; precision of the softmax under mixed precision.
  config.neutral("attn_pdrop", "embd_pdrop", "resid_pdrop", "reorder_and_upcast_attn", "n_ctx");
  config.neutral(
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
  );
  config.must("add_cross_attention", [null, false], "attention to an encoder");
  const d_model = config.count(["n_embd", "hidden_size"], 768);
  const n_heads = config.count(["n_head", "num_attention_heads"], 12);
  const layers = config.layers(["n_layer", "num_hidden_layers"], 12);
  const tied = config.flag("tie_word_embeddings", true);
  const scaled = config.flag("scale_attn_weights", true);
  const byLayer = config.flag("scale_attn_by_inverse_layer_idx", false);
  const base = scaled ? (d_model / n_heads) ** -0.5 : 1;
  const mixer = (scale: number | undefined): AttentionFields =>
    tidy({ type: "attention" as const, n_heads, qkv_bias: true, output_bias: true, scale });
  const name = (i: number): string => (byLayer && i > 0 ? `attention_${i}` : "*");
  const names = Array.from({ length: layers }, (_, i) => name(i));
  const attentions = Object.fromEntries(
    names.map((one, i): [string, BlockFields] => {
      const own = byLayer ? base / (i + 1) : base;
      return [one, { mixer: mixer(scaled && own === base ? undefined : own) }];
    }),
  );
  const activation = config.choice("activation_function", ACTIVATIONS, "gelu_new");
  const d_ff = config.count("n_inner", 4 * d_model);
  const blocks = { ...attentions, "-": { ffn: mlpFields(d_ff, activation, { gated: false, bias: true }) } };
  const { stack, fields } = stackLayers(
    names.map((one) => [one, "-"]),
    blocks,
  );
  const rules = [
    ...normRules("ln_1"),
    ...linear("attn.c_attn", ["mixer.q_proj", "mixer.k_proj", "mixer.v_proj"], { transposed: "whole" }),
    ...linear("attn.c_proj", "mixer.o_proj", { transposed: "whole" }),
  ];
  return {
    file: {
      d_model,
      vocab_size: config.count("vocab_size", 50257),
      positions: { type: "learned", max_length: config.count(["n_positions", "max_position_embeddings"], 1024) },
      norm: { type: "layer_norm", eps: config.number("layer_norm_epsilon", 1e-5) },
      head: { tied },
      init: { std: config.number("initializer_range", 0.02) },
      ...fields,
    },
    stack,
    table: {
      prefixes: ["transformer.", ""],
      body: [...linear("wte", "embedding"), ...linear("wpe", "positions"), ...normRules("ln_f", FINAL_NORM)],
      head: linear("lm_head", "head"),
      layer: "h.{layer}.",
      blocks: {
        ...Object.fromEntries(names.map((one) => [one, rules])),
        "-": [
          ...normRules("ln_2"),
          ...linear("mlp.c_fc", "ffn.up_proj", { transposed: "whole" }),
          ...linear("mlp.c_proj", "ffn.down_proj", { transposed: "whole" }),
        ],
      },
      ignored: [
        ...tiedHead(tied),
        { stored: "{prefix}h.{layer}.attn.bias", reason: "the causal mask" },
        { stored: "{prefix}h.{layer}.attn.masked_bias", reason: "what masked scores are set to" },
      ],
    },
  };
}

function configure(spec: ArchitectureSpec): ConfigFields | undefined {
  const attentions = operatorsOf(spec, "attention");
  const [attention, second] = attentions;
  const [mlp] = operatorsOf(spec, "mlp");
  const layers = pairs(spec.layers);
  if (attention === undefined || mlp === undefined || layers === undefined || spec.positions === null) return undefined;
  const norm = spec.layers[0]?.norm ?? spec.final_norm;
  return tidy({
    n_embd: spec.d_model,
    n_head: attention.n_heads,
    n_layer: layers.length,
    n_inner: mlp.d_ff === 4 * spec.d_model ? null : mlp.d_ff,
    n_positions: spec.positions.max_length,
    activation_function: NAMES[mlp.activation],
    scale_attn_weights: attention.scale !== 1,
    scale_attn_by_inverse_layer_idx: second !== undefined && Math.abs(second.scale * 2 - attention.scale) < 1e-12,
    layer_norm_epsilon: norm?.eps ?? 1e-5,
    initializer_range: spec.init.std,
    vocab_size: spec.vocab_size,
    tie_word_embeddings: spec.head.tied,
  });
}
