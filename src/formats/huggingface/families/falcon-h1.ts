// Falcon-H1 (TII 2025): in each layer Mamba-2 and attention read the same normed input side by side, then comes an MLP;
// muP multipliers on branches and projections.
import type { ArchitectureSpec } from "../../../spec/types.ts";
import type { ConfigReader } from "../config.ts";
import { type ConfigFields, type Conversion, type Family, stackLayers, tidy, unless } from "../family.ts";
import { readRope, writeRope } from "../rope.ts";
import { linear } from "../table.ts";
import { attentionFields, mlpFields, operatorsOf, pairs, readDecoder, writeDecoder } from "./parts.ts";
import { attentionRules, decoderTable, mamba2Rules, normRules } from "./rules.ts";
import {
  dtInit,
  MAMBA2_DEFAULTS,
  MAMBA2_PREFIXED,
  neutralSsmFields,
  readMamba2,
  readStepLimit,
  requireInner,
  requireSilu,
  writeExpandedMamba2,
} from "./state-space.ts";

export const falconH1: Family = {
  modelTypes: ["falcon_h1"],
  architecture: "FalconH1ForCausalLM",
  convert,
  configure,
};

/** The projections of a Mamba-2 layer in the order of `ssm_multipliers`. */
const SEGMENTS = ["z", "x", "B", "C", "dt"] as const;

function convert(config: ConfigReader): Conversion {
  neutralSsmFields(config);
  config.neutral("mamba_chunk_size", "mlp_expansion_factor");
  requireSilu(config);
  config.must("mamba_use_mlp", [null, true], "layers without an MLP");
  config.must("attn_layer_indices", [null], "attention in some layers only");
  config.must("sliding_window", [null], "attention in a window");
  const decoder = readDecoder(config, { width: 4096, vocabulary: 128000, eps: ["rms_norm_eps", 1e-5] });
  const { d_model } = decoder;
  const expand = config.number("mamba_expand", 2);
  const inner = config.isNull("mamba_d_ssm") ? Math.floor(expand * d_model) : config.count("mamba_d_ssm", 1024);
  const norm = config.flag("mamba_rms_norm", false);
  const before = config.flag("mamba_norm_before_gate", true);
  const base = readMamba2(config, MAMBA2_PREFIXED, { ...MAMBA2_DEFAULTS, inner });
  requireInner(config, base, inner);
  const scales = config.numbers("ssm_multipliers", [1, 1, 1, 1, 1], 5);
  const bias = base.bias === true;
  const mamba = tidy({
    ...base,
    output_bias: unless(config.flag("projectors_bias", false), bias),
    gated_norm: norm
      ? tidy({ order: before ? ("norm_then_gate" as const) : undefined, groups: unless(base.n_groups ?? 1, 1) })
      : false,
    in_proj_scale: scales.every((one) => one === 1)
      ? undefined
      : Object.fromEntries(SEGMENTS.map((name, i) => [name, scales[i] ?? 1])),
    ...readStepLimit(config),
    ...dtInit(config),
  });
  const n_heads = config.count("num_attention_heads", 32);
  const head_dim = config.count("head_dim", Math.floor(d_model / n_heads));
  const attentionBias = config.flag("attention_bias", false);
  const keyScale = config.number("key_multiplier", 1);
  const attention = attentionFields({
    type: "attention",
    n_heads,
    n_kv_heads: config.count("num_key_value_heads", 8),
    head_dim: unless(head_dim, d_model / n_heads),
    // Rotation is linear, so a factor on keys is one on all scores.
    scale: unless(head_dim ** -0.5 * keyScale, head_dim ** -0.5),
    rope: readRope(config, { theta: 100_000, maxLength: 8192 }),
    qkv_bias: attentionBias,
    output_bias: attentionBias,
  });
  const scale = (name: string): number | undefined => unless(config.number(name, 1), 1);
  const [gateScale = 1, outScale = 1] = config.numbers("mlp_multipliers", [1, 1], 2);
  const mlp = mlpFields(config.count("intermediate_size", 14336), "silu", { bias: config.flag("mlp_bias", false) });
  const layers = config.layers("num_hidden_layers", 32);
  const { stack, fields } = stackLayers(new Array<string[]>(layers).fill(["H", "-"]), {
    H: {
      parallel: [
        tidy({ mixer: mamba, in_scale: scale("ssm_in_multiplier"), out_scale: scale("ssm_out_multiplier") }),
        tidy({
          mixer: attention,
          in_scale: scale("attention_in_multiplier"),
          out_scale: scale("attention_out_multiplier"),
        }),
      ],
    },
    "-": tidy({ ffn: tidy({ ...mlp, gate_scale: unless(gateScale, 1) }), out_scale: unless(outScale, 1) }),
  });
  const embedding = scale("embedding_multiplier");
  return {
    file: tidy({
      ...decoder,
      embedding: embedding === undefined ? undefined : { scale: embedding },
      head: tidy({ ...decoder.head, scale: scale("lm_head_multiplier") }),
      ...fields,
    }),
    stack,
    table: decoderTable({
      tied: decoder.head.tied,
      finalNorm: "final_layernorm",
      blocks: {
        H: [
          ...normRules("input_layernorm"),
          ...mamba2Rules("mamba.", "parallel.0"),
          ...attentionRules("self_attn.", "parallel.1"),
        ],
        "-": [
          ...normRules("pre_ff_layernorm"),
          ...["gate_proj", "up_proj", "down_proj"].flatMap((name) => linear(`feed_forward.${name}`, `ffn.${name}`)),
        ],
      },
    }),
  };
}

function configure(spec: ArchitectureSpec): ConfigFields | undefined {
  const [mamba] = operatorsOf(spec, "mamba2");
  const [attention] = operatorsOf(spec, "attention");
  const [mlp] = operatorsOf(spec, "mlp");
  const [first] = pairs(spec.layers) ?? [];
  const [ssm, heads] = first?.[0].branches ?? [];
  if (mamba === undefined || attention === undefined || mlp === undefined || first === undefined) return undefined;
  if (ssm?.operator.type !== "mamba2" || heads?.operator.type !== "attention") return undefined;
  return tidy({
    ...writeDecoder(spec),
    ...writeExpandedMamba2(mamba, spec.d_model),
    mamba_d_ssm: mamba.d_inner,
    mamba_rms_norm: mamba.gated_norm !== null,
    mamba_norm_before_gate: mamba.gated_norm?.order !== "gate_then_norm",
    projectors_bias: mamba.output_bias,
    ssm_multipliers: SEGMENTS.map((name) => mamba.in_proj_scale[name]),
    ssm_in_multiplier: ssm.in_scale,
    ssm_out_multiplier: ssm.out_scale,
    attention_in_multiplier: heads.in_scale,
    attention_out_multiplier: heads.out_scale,
    key_multiplier: Number((attention.scale * attention.head_dim ** 0.5).toPrecision(14)),
    mlp_multipliers: [mlp.gate_scale, first[1].out_scale],
    embedding_multiplier: spec.embedding.scale,
    lm_head_multiplier: spec.head.scale,
    num_hidden_layers: spec.layers.length / 2,
    num_attention_heads: attention.n_heads,
    num_key_value_heads: attention.n_kv_heads,
    head_dim: unless(attention.head_dim, spec.d_model / attention.n_heads),
    attention_bias: attention.qkv_bias,
    rope_parameters: attention.rope === null ? undefined : writeRope(attention.rope, attention.head_dim),
    intermediate_size: mlp.d_ff,
    hidden_act: "silu",
    mlp_bias: mlp.bias,
    max_position_embeddings: 8192,
  });
}
