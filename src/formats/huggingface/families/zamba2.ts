// Zamba2 (Glorioso et al. 2024): Mamba-2, and shared transformer blocks that take turns, each use with low-rank adapters of
// its own.
import type { ArchitectureSpec } from "../../../spec/types.ts";
import type { ConfigReader } from "../config.ts";
import { type ConfigFields, type Conversion, type Family, tidy, unless } from "../family.ts";
import { readRope, writeRope } from "../rope.ts";
import { linear, type Rule, rule } from "../table.ts";
import {
  ACTIVATION_NAMES,
  ACTIVATIONS,
  attentionFields,
  mlpFields,
  operatorsOf,
  readDecoder,
  writeDecoder,
} from "./parts.ts";
import { attentionRules, mamba2Rules } from "./rules.ts";
import { dtInit, type Mamba2Names, neutralSsmFields, readMamba2, requireInner, writeMamba2 } from "./state-space.ts";
import { assemble, HYBRID, MAMBA, readHybridTypes, sharedBlocks } from "./zamba-wiring.ts";

export const zamba2: Family = {
  modelTypes: ["zamba2"],
  architecture: "Zamba2ForCausalLM",
  convert,
  configure,
};

const NAMES: Mamba2Names = {
  heads: "n_mamba_heads",
  headDim: "mamba_headdim",
  groups: "mamba_ngroups",
  state: "mamba_d_state",
  conv: "mamba_d_conv",
  bias: "add_bias_linear",
};

/** eps of the gated norm, which the configuration does not say. */
const GATED_EPS = 1e-5;

function convert(config: ConfigReader): Conversion {
  neutralSsmFields(config);
  // The convolution has a bias whatever use_conv_bias says.
  config.neutral("use_conv_bias", "use_mem_eff_path", "kv_channels", "num_query_groups", "hybrid_layer_ids");
  config.neutral("use_long_context", "time_step_limit", "attn_layer_period", "attn_layer_offset");
  config.neutral("ffn_hidden_size");
  config.must("use_shared_mlp_adapter", [null, true], "an MLP without adapters");
  const decoder = readDecoder(config, { width: 2560, vocabulary: 32000, eps: ["rms_norm_eps", 1e-5], tied: true });
  const { d_model } = decoder;
  const layers = config.layers("num_hidden_layers", 54);
  // The rhythm of the published 54 layers.
  const published = [6, 12, 18, 24, 30, 36, 42, 47, 51];
  const types = readHybridTypes(config, layers, (i) => (published.includes(i) ? HYBRID : MAMBA));
  const n_heads = config.count("num_attention_heads", 32);
  const head_dim = config.count("attention_head_dim", Math.floor((2 * d_model) / n_heads));
  config.agrees("attention_hidden_size", 2 * d_model, "2 · hidden_size");
  const inner = config.number("mamba_expand", 2) * d_model;
  const base = readMamba2(config, NAMES, { heads: 8, headDim: "auto", groups: 1, state: 64, inner });
  requireInner(config, base, inner);
  const init = dtInit(config);
  const mixer = {
    ...base,
    gated_norm: tidy({ groups: unless(base.n_groups ?? 1, 1), eps: unless(GATED_EPS, decoder.norm.eps) }),
    dt_limit: [config.number("time_step_min", 0.001), "inf"] as [number, string],
    ...init,
  };
  const bias = config.flag("add_bias_linear", false);
  const rank = config.count("adapter_rank", 128);
  const adapters = config.flag("use_shared_attention_adapter", false);
  const rotated = config.flag("use_mem_rope", false);
  const rope = readRope(config, { maxLength: 4096 });
  const attention = attentionFields({
    type: "attention",
    n_heads,
    n_kv_heads: config.count("num_key_value_heads", n_heads),
    head_dim,
    scale: (head_dim / 2) ** -0.5,
    rope: rotated ? rope : undefined,
  });
  const activation = config.choice("hidden_act", ACTIVATIONS, "gelu");
  const mlp = mlpFields(config.count("intermediate_size", 4 * d_model), activation, { bias });
  const blocks = sharedBlocks(attention, mlp);
  return assemble({
    decoder,
    types,
    shared: config.layers("num_mem_blocks", 1),
    mixer,
    attention: adapters
      ? { ...blocks.attention, adapter: { rank, projections: ["q_proj", "k_proj", "v_proj"] } }
      : blocks.attention,
    mlp: { ...blocks.mlp, adapter: { rank, projections: [["gate_proj", "up_proj"]] } },
    sharedName: "shared_transformer",
    mixerRules: mamba2Rules(""),
    attentionRules: [...attentionRules("self_attn."), ...["q", "k", "v"].flatMap(attentionAdapter)],
    mlpRules: [
      ...linear("feed_forward.gate_up_proj", ["ffn.gate_proj", "ffn.up_proj"]),
      ...linear("feed_forward.down_proj", "ffn.down_proj"),
      rule("feed_forward.gate_up_proj_adapter_list.{use}.0.weight", "ffn.adapter.gate_proj.down.weight"),
      rule("feed_forward.gate_up_proj_adapter_list.{use}.1.weight", [
        "ffn.adapter.gate_proj.up.weight",
        "ffn.adapter.up_proj.up.weight",
      ]),
    ],
  });
}

function attentionAdapter(name: string): Rule[] {
  const at = `self_attn.linear_${name}_adapter_list.{use}`;
  return [
    rule(`${at}.0.weight`, `mixer.adapter.${name}_proj.down.weight`),
    rule(`${at}.1.weight`, `mixer.adapter.${name}_proj.up.weight`),
  ];
}

function configure(spec: ArchitectureSpec): ConfigFields | undefined {
  const [mixer] = operatorsOf(spec, "mamba2");
  const [attention] = operatorsOf(spec, "attention");
  const [mlp] = operatorsOf(spec, "mlp");
  if (mixer === undefined || attention === undefined || mlp === undefined) return undefined;
  const layers = spec.layers.filter(({ branches }) => branches[0]?.operator.type === "mamba2");
  const ofMlp = spec.layers.filter(({ branches }) => branches[0]?.operator.type === "mlp");
  const ofAttention = spec.layers.find(({ branches }) => branches[0]?.operator.type === "attention");
  return tidy({
    ...writeDecoder(spec),
    ...writeMamba2(mixer, NAMES),
    num_hidden_layers: layers.length,
    layers_block_type: layers.map(({ input }) => (input === "stream_plus_side" ? HYBRID : MAMBA)),
    num_mem_blocks: new Set(ofMlp.map(({ weights }) => weights)).size,
    mamba_expand: mixer.d_inner / spec.d_model,
    time_step_min: mixer.dt_limit[0],
    chunk_size: 256,
    use_conv_bias: mixer.conv_bias,
    adapter_rank: ofMlp[0]?.branches[0]?.adapter?.rank ?? 1,
    use_shared_attention_adapter: ofAttention?.branches[0]?.adapter !== null,
    use_mem_rope: attention.rope !== null,
    rope_parameters: attention.rope === null ? undefined : writeRope(attention.rope, attention.head_dim),
    num_attention_heads: attention.n_heads,
    num_key_value_heads: attention.n_kv_heads,
    attention_head_dim: attention.head_dim,
    attention_hidden_size: 2 * spec.d_model,
    intermediate_size: mlp.d_ff,
    hidden_act: ACTIVATION_NAMES[mlp.activation],
    max_position_embeddings: 4096,
  });
}
