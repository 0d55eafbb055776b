// Zamba (Glorioso et al. 2024): Mamba-1 whose channels are split into heads, each with step sizes, B and C of its own, and
// one shared transformer block.
import type { ArchitectureSpec } from "../../../spec/types.ts";
import type { ConfigReader } from "../config.ts";
import { type ConfigFields, type Conversion, type Family, tidy } from "../family.ts";
import { convolution, linear, type Rule, rule } from "../table.ts";
import {
  ACTIVATION_NAMES,
  ACTIVATIONS,
  attentionFields,
  mlpFields,
  operatorsOf,
  readDecoder,
  writeDecoder,
} from "./parts.ts";
import { attentionRules, mlpRules } from "./rules.ts";
import {
  dtInit,
  MAMBA_PREFIXED,
  neutralSsmFields,
  readMamba,
  requireSilu,
  writeDtInit,
  writeMamba,
} from "./state-space.ts";
import { assemble, HYBRID, MAMBA, readHybridTypes, sharedBlocks } from "./zamba-wiring.ts";

export const zamba: Family = {
  modelTypes: ["zamba"],
  architecture: "ZambaForCausalLM",
  convert,
  configure,
};

function convert(config: ConfigReader): Conversion {
  neutralSsmFields(config);
  requireSilu(config, "hidden_mamba_act");
  const decoder = readDecoder(config, { width: 3712, vocabulary: 32000, eps: ["rms_norm_eps", 1e-5], tied: true });
  const { d_model } = decoder;
  const layers = config.layers("num_hidden_layers", 76);
  const period = config.count("attn_layer_period", 6);
  const offset = config.count("attn_layer_offset", 4, { minimum: 0 });
  const types = readHybridTypes(config, layers, (i) =>
    i === 2 || (i > 2 && (i - 3) % period === offset) ? HYBRID : MAMBA,
  );
  const n_heads = config.count("num_attention_heads", 16);
  const head_dim = config.count("attention_head_dim", Math.floor((2 * d_model) / n_heads));
  config.agrees("attention_hidden_size", 2 * d_model, "2 · hidden_size");
  const expand = config.number("mamba_expand", 2);
  const heads = config.count("n_mamba_heads", 2, { maximum: 65_536 });
  const inner = Math.floor(expand * d_model);
  const mixer = { ...readMamba(config, MAMBA_PREFIXED, inner, heads), ...dtInit(config) };
  const attention = attentionFields({
    type: "attention",
    n_heads,
    n_kv_heads: config.count("num_key_value_heads", n_heads),
    head_dim,
    scale: (head_dim / 2) ** -0.5,
  });
  const activation = config.choice("hidden_act", ACTIVATIONS, "gelu");
  return assemble({
    decoder,
    types,
    shared: 1,
    mixer,
    ...sharedBlocks(attention, mlpFields(config.count("intermediate_size", 14848), activation)),
    sharedName: "shared_transf",
    mixerRules: mambaHeadRules(heads, inner),
    attentionRules: attentionRules("self_attn."),
    mlpRules: mlpRules("feed_forward."),
  });
}

/** A Mamba-1 layer of several heads; rows of in_proj take turns between u and z. */
function mambaHeadRules(heads: number, inner: number): Rule[] {
  const perHead = (names: readonly string[]): string[] =>
    Array.from({ length: heads }, (_, head) =>
      names.map((name) => `mixer.${name}${heads === 1 ? "" : `.${head}`}.weight`),
    ).flat();
  // The first axis there is the head.
  const byHead = (rows: number, columns: number): number[] => [heads, rows / heads, columns];
  return [
    ...linear("in_proj", ["mixer.in_proj_x", "mixer.in_proj_z"], { groups: inner }),
    ...convolution("conv1d", "mixer.conv"),
    rule("x_proj_weight", perHead(["x_proj_dt", "x_proj_B", "x_proj_C"]), { shape: byHead }),
    rule("dt_proj_weight", perHead(["dt_proj"]), { shape: byHead }),
    rule("dt_proj_bias", "mixer.dt_proj.bias", { shape: (rows) => [heads, rows / heads] }),
    rule("A_log", "mixer.A_log", { shape: byHead }),
    rule("D", "mixer.D", { shape: (rows) => [heads, rows / heads] }),
    ...linear("out_proj", "mixer.out_proj"),
  ];
}

function configure(spec: ArchitectureSpec): ConfigFields | undefined {
  const [mixer] = operatorsOf(spec, "mamba");
  const [attention] = operatorsOf(spec, "attention");
  const [mlp] = operatorsOf(spec, "mlp");
  if (mixer === undefined || attention === undefined || mlp === undefined) return undefined;
  // One entry for each Mamba layer.
  const types = spec.layers.flatMap(({ input, branches }) =>
    branches[0]?.operator.type === "mamba" ? [input === "stream_plus_side" ? HYBRID : MAMBA] : [],
  );
  return tidy({
    ...writeDecoder(spec),
    num_hidden_layers: types.length,
    layers_block_type: types,
    n_mamba_heads: mixer.n_heads,
    ...writeMamba(mixer, MAMBA_PREFIXED),
    mamba_expand: mixer.d_inner / spec.d_model,
    ...writeDtInit(mixer),
    hidden_mamba_act: "silu",
    num_attention_heads: attention.n_heads,
    num_key_value_heads: attention.n_kv_heads,
    attention_head_dim: attention.head_dim,
    attention_hidden_size: 2 * spec.d_model,
    intermediate_size: mlp.d_ff,
    hidden_act: ACTIVATION_NAMES[mlp.activation],
    max_position_embeddings: 4096,
  });
}
