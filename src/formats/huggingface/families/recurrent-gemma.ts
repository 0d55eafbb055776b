// RecurrentGemma (De et al. 2024, Griffin): two gated linear recurrences, then local attention with half of each head
// rotated; an MLP after each; norms of 1 + w.
import type { ArchitectureSpec } from "../../../spec/types.ts";
import type { ConfigReader } from "../config.ts";
import { type ConfigFields, type Conversion, type Family, stackLayers, tidy, unless } from "../family.ts";
import { readRope, writeRope } from "../rope.ts";
import { convolution, linear, rule } from "../table.ts";
import {
  ACTIVATION_NAMES,
  attentionFields,
  mlpFields,
  operatorsOf,
  pairs,
  readDecoder,
  writeDecoder,
} from "./parts.ts";
import { attentionRules, decoderTable, mlpRules, normRules } from "./rules.ts";

export const recurrentGemma: Family = {
  modelTypes: ["recurrent_gemma"],
  architecture: "RecurrentGemmaForCausalLM",
  convert,
  configure,
};

/** Activations that the gate of a recurrence can have. */
const GATES = { gelu_pytorch_tanh: "gelu_tanh", gelu_new: "gelu_tanh", gelu: "gelu", silu: "silu" } as const;

function convert(config: ConfigReader): Conversion {
  // How weights start.
  config.neutral("final_w_init_variance_scale", "w_init_variance_scale");
  config.must("embeddings_scale_by_sqrt_dim", [null, true], "embeddings as they are");
  const decoder = readDecoder(config, {
    width: 2560,
    vocabulary: 256000,
    eps: ["rms_norm_eps", 1e-6],
    tied: true,
    normWeight: "one_plus",
  });
  const { d_model } = decoder;
  const n_heads = config.count("num_attention_heads", 10, { maximum: 65_536 });
  config.agrees("head_dim", Math.floor(d_model / n_heads), "hidden_size / num_attention_heads");
  const width = config.count("lru_width", d_model);
  const activation = config.choice("hidden_activation", GATES, "gelu_pytorch_tanh");
  const recurrence = tidy({
    type: "rg_lru" as const,
    n_heads,
    d_inner: unless(width, d_model),
    d_conv: unless(config.count("conv1d_width", 4), 4),
    activation: unless(activation, "gelu_tanh"),
  });
  const attention = attentionFields({
    type: "attention",
    n_heads,
    n_kv_heads: config.count("num_key_value_heads", n_heads),
    window: config.count("attention_window_size", 2048),
    rope: readRope(config, { fraction: 0.5 }),
    qkv_bias: config.flag("attention_bias", false),
    output_bias: true,
  });
  // Both halves of the gated MLP are counted there.
  const intermediate = config.count("intermediate_size", 3 * d_model);
  const layers = config.layers("num_hidden_layers", 26);
  const cycle = config.texts(["block_types", "_block_types"]) ?? ["recurrent", "recurrent", "attention"];
  const unknown = cycle.find((type) => type !== "recurrent" && type !== "attention");
  if (unknown !== undefined || cycle.length === 0) {
    config.problem(
      "block_types",
      `${JSON.stringify(unknown ?? cycle)} is not supported; allowed: recurrent, attention`,
    );
  }
  const { stack, fields } = stackLayers(
    Array.from({ length: layers }, (_, i) => [cycle[i % Math.max(1, cycle.length)] === "attention" ? "*" : "R", "-"]),
    {
      R: { mixer: recurrence },
      "*": { mixer: attention },
      "-": { ffn: mlpFields(Math.floor(intermediate / 2), activation, { bias: true }) },
    },
  );
  const perHead = (name: string): string[] => Array.from({ length: n_heads }, (_, h) => `mixer.${name}.${h}`);
  const gate = (stored: string, name: string) => [
    // One matrix for each head, stored as [in, out].
    rule(
      `temporal_block.rg_lru.${stored}_weight`,
      perHead(name).map((one) => `${one}.weight`),
      {
        transposed: "each",
        shape: (rows, columns) => [n_heads, rows / n_heads, columns],
      },
    ),
    rule(
      `temporal_block.rg_lru.${stored}_bias`,
      perHead(name).map((one) => `${one}.bias`),
      {
        shape: (rows) => [n_heads, rows / n_heads],
      },
    ),
  ];
  return {
    file: {
      ...decoder,
      embedding: { scale: roundToBfloat16(Math.sqrt(d_model)) },
      head: tidy({ ...decoder.head, softcap: config.number("logits_soft_cap", 30) }),
      ...fields,
    },
    stack,
    table: decoderTable({
      tied: decoder.head.tied,
      finalNorm: "final_norm",
      blocks: {
        R: [
          ...normRules("temporal_pre_norm"),
          ...linear("temporal_block.linear_x", "mixer.x_proj"),
          ...linear("temporal_block.linear_y", "mixer.g_proj"),
          ...convolution("temporal_block.conv_1d", "mixer.conv"),
          ...gate("input_gate", "input_gate"),
          ...gate("recurrent_gate", "recurrence_gate"),
          rule("temporal_block.rg_lru.recurrent_param", "mixer.a_param"),
          ...linear("temporal_block.linear_out", "mixer.out_proj"),
        ],
        "*": [...normRules("temporal_pre_norm"), ...attentionRules("temporal_block.")],
        "-": [...normRules("channel_pre_norm"), ...mlpRules("mlp_block.")],
      },
    }),
  };
}

/** The factor of the embeddings is rounded so there, whatever the type of the weights. */
function roundToBfloat16(value: number): number {
  const bits = new Uint32Array(new Float32Array([value]).buffer);
  const [word = 0] = bits;
  bits[0] = (word + 0x7fff + ((word >>> 16) & 1)) & 0xffff0000;
  return new Float32Array(bits.buffer)[0] ?? value;
}

function configure(spec: ArchitectureSpec): ConfigFields | undefined {
  const [recurrence] = operatorsOf(spec, "rg_lru");
  const [attention] = operatorsOf(spec, "attention");
  const [mlp] = operatorsOf(spec, "mlp");
  const layers = pairs(spec.layers);
  if (recurrence === undefined || mlp === undefined || layers === undefined) return undefined;
  return tidy({
    ...writeDecoder(spec),
    num_hidden_layers: layers.length,
    block_types: layers.map(([{ branches }]) =>
      branches[0]?.operator.type === "attention" ? "attention" : "recurrent",
    ),
    lru_width: recurrence.d_inner,
    conv1d_width: recurrence.d_conv,
    num_attention_heads: recurrence.n_heads,
    num_key_value_heads: attention?.n_kv_heads ?? recurrence.n_heads,
    head_dim: spec.d_model / recurrence.n_heads,
    attention_window_size: attention?.window ?? 2048,
    attention_bias: attention?.qkv_bias,
    rope_parameters: attention?.rope == null ? undefined : writeRope(attention.rope, attention.head_dim, 0.5),
    intermediate_size: 2 * mlp.d_ff,
    hidden_activation: ACTIVATION_NAMES[mlp.activation],
    logits_soft_cap: spec.head.softcap ?? undefined,
  });
}
