// RWKV-4 (Peng et al. 2023): fading averages in place of attention, an MLP that sees the token before, LayerNorm, and one
// more norm on the embeddings.
import type { ArchitectureSpec } from "../../../spec/types.ts";
import type { ConfigReader } from "../config.ts";
import { type ConfigFields, type Conversion, type Family, stackLayers, tidy, unless } from "../family.ts";
import { linear, rule } from "../table.ts";
import { operatorsOf, pairs } from "./parts.ts";
import { FINAL_NORM, normRules, tiedHead } from "./rules.ts";

export const rwkv: Family = {
  modelTypes: ["rwkv"],
  architecture: "RwkvForCausalLM",
  convert,
  configure,
};

/** eps of the norm before the head, which the configuration does not say. */
const FINAL_EPS = 1e-5;

function convert(config: ConfigReader): Conversion {
  // Halving the stream now and then keeps float16 from overflowing and means nothing else.
  config.neutral("rescale_every", "context_length");
  const d_model = config.count("hidden_size", 4096);
  const inner = config.count("attention_hidden_size", d_model);
  const eps = config.number("layer_norm_epsilon", 1e-5);
  const tied = config.flag("tie_word_embeddings", false);
  const layers = config.layers("num_hidden_layers", 32);
  const mlp = { d_ff: config.count("intermediate_size", 4 * d_model), activation: "relu2", gated: false } as const;
  const { stack, fields } = stackLayers(new Array<string[]>(layers).fill(["W", "-"]), {
    W: { mixer: tidy({ type: "wkv" as const, d_inner: unless(inner, d_model) }) },
    "-": { ffn: { type: "mlp", ...mlp, token_shift: true, output_gate: "sigmoid" } },
  });
  // A vector of channels, stored as if it were one token.
  const mix = (stored: string, parameter: string) => rule(stored, parameter, { shape: (rows) => [1, 1, rows] });
  return {
    file: tidy({
      d_model,
      vocab_size: config.count("vocab_size", 50277),
      norm: { type: "layer_norm" as const, eps },
      final_norm: eps === FINAL_EPS ? undefined : { eps: FINAL_EPS },
      embedding: { norm: true },
      head: { tied },
      ...fields,
    }),
    stack,
    table: {
      prefixes: ["rwkv.", ""],
      body: [
        ...linear("embeddings", "embedding"),
        ...normRules("blocks.0.pre_ln", "embedding.norm"),
        ...normRules("ln_out", FINAL_NORM),
      ],
      head: linear("head", "head"),
      layer: "blocks.{layer}.",
      blocks: {
        W: [
          ...normRules("ln1"),
          rule("attention.time_decay", "mixer.time_decay"),
          rule("attention.time_first", "mixer.time_first"),
          ...["key", "value", "receptance"].flatMap((name) => [
            mix(`attention.time_mix_${name}`, `mixer.${name[0]}_proj.mix`),
            ...linear(`attention.${name}`, `mixer.${name[0]}_proj`),
          ]),
          ...linear("attention.output", "mixer.out_proj"),
        ],
        "-": [
          ...normRules("ln2"),
          mix("feed_forward.time_mix_key", "ffn.up_proj.mix"),
          mix("feed_forward.time_mix_receptance", "ffn.g_proj.mix"),
          ...linear("feed_forward.key", "ffn.up_proj"),
          ...linear("feed_forward.receptance", "ffn.g_proj"),
          ...linear("feed_forward.value", "ffn.down_proj"),
        ],
      },
      ignored: tiedHead(tied, "head.weight"),
    },
  };
}

function configure(spec: ArchitectureSpec): ConfigFields | undefined {
  const [wkv] = operatorsOf(spec, "wkv");
  const [mlp] = operatorsOf(spec, "mlp");
  const layers = pairs(spec.layers);
  if (wkv === undefined || mlp === undefined || layers === undefined) return undefined;
  return {
    hidden_size: spec.d_model,
    vocab_size: spec.vocab_size,
    num_hidden_layers: layers.length,
    attention_hidden_size: wkv.d_inner,
    intermediate_size: mlp.d_ff,
    layer_norm_epsilon: spec.layers[0]?.norm?.eps ?? FINAL_EPS,
    rescale_every: 0,
    tie_word_embeddings: spec.head.tied,
    context_length: 1024,
  };
}
