// Fields of Mamba and Mamba-2 layers in configurations, and back.
import type { Mamba2Fields, MambaFields } from "../../../spec/types.generated.ts";
import type { Mamba2Spec, MambaSpec } from "../../../spec/types.ts";
import type { ConfigReader, FieldName } from "../config.ts";
import { tidy, unless } from "../family.ts";

/** Fields about training and kernels that several families with state-space layers have. */
export function neutralSsmFields(config: ConfigReader): void {
  config.neutral("rescale_prenorm_residual", "use_mambapy", "use_associative_scan", "use_mamba_kernels", "chunk_size");
  config.neutral("time_step_scale", "time_step_init_scheme", "residual_in_fp32");
}

/** Convolution and gate have SiLU, whichever field says it. */
export function requireSilu(config: ConfigReader, field = "hidden_act"): void {
  config.must(field, [null, "silu", "swish"], "another activation of convolution and gate");
}

/** How step sizes start, which only matters when a model is trained from scratch. */
export function dtInit(config: ConfigReader): Pick<MambaFields, "dt_min" | "dt_max" | "dt_init_floor"> {
  return tidy({
    // 0 where it only says that there is no lower limit; nothing could start there.
    dt_min: unless(config.number("time_step_min", 0.001) || 0.001, 0.001),
    dt_max: unless(config.number("time_step_max", 0.1), 0.1),
    dt_init_floor: unless(config.number("time_step_floor", 1e-4), 1e-4),
  });
}

/** The fields that {@link dtInit} reads. */
export function writeDtInit({ dt_min, dt_max, dt_init_floor }: MambaSpec | Mamba2Spec): Record<string, unknown> {
  return { time_step_min: dt_min, time_step_max: dt_max, time_step_floor: dt_init_floor };
}

/** Names of the fields of a Mamba layer, which differ between families. */
export interface MambaNames {
  readonly state: string;
  readonly conv: string;
  readonly rank: string;
  readonly convBias: string;
  readonly bias: string;
}

/** As jamba and zamba call them. */
export const MAMBA_PREFIXED: MambaNames = {
  state: "mamba_d_state",
  conv: "mamba_d_conv",
  rank: "mamba_dt_rank",
  convBias: "mamba_conv_bias",
  bias: "mamba_proj_bias",
};

/** The Mamba layer of a configuration, without its norms and how its step sizes start. */
export function readMamba(config: ConfigReader, names: MambaNames, d_inner: number, heads = 1): MambaFields {
  const rank = config.value(names.rank) ?? "auto";
  return tidy({
    type: "mamba" as const,
    n_heads: unless(heads, 1),
    d_state: config.count(names.state, 16),
    d_conv: config.count(names.conv, 4),
    d_inner,
    dt_rank: rank === "auto" ? undefined : config.count(names.rank),
    conv_bias: unless(config.flag(names.convBias, true), true),
    bias: unless(config.flag(names.bias, false), false),
  });
}

/** The fields of a configuration that {@link readMamba} reads. */
export function writeMamba(mixer: MambaSpec, names: MambaNames): Record<string, unknown> {
  return {
    [names.state]: mixer.d_state,
    [names.conv]: mixer.d_conv,
    [names.rank]: mixer.dt_rank,
    [names.convBias]: mixer.conv_bias,
    [names.bias]: mixer.bias,
  };
}

/** Names of the fields of a Mamba-2 layer, which differ between families. */
export interface Mamba2Names {
  readonly heads: FieldName;
  readonly headDim: FieldName;
  readonly groups: FieldName;
  readonly state: FieldName;
  readonly conv: FieldName;
  /** Left out: the convolution always has a bias. */
  readonly convBias?: FieldName;
  readonly bias: FieldName;
}

/** As bamba, granitemoehybrid and falcon_h1 call them. */
export const MAMBA2_PREFIXED: Mamba2Names = {
  heads: "mamba_n_heads",
  headDim: "mamba_d_head",
  groups: "mamba_n_groups",
  state: "mamba_d_state",
  conv: "mamba_d_conv",
  convBias: "mamba_conv_bias",
  bias: "mamba_proj_bias",
};

export interface Mamba2Defaults {
  readonly heads: number;
  readonly headDim: number | "auto";
  readonly groups: number;
  readonly state: number;
  /** Inner width where head_dim is auto. */
  readonly inner: number;
}

/** The Mamba-2 layer of a configuration, without its norm and step limits. */
export function readMamba2(config: ConfigReader, names: Mamba2Names, defaults: Mamba2Defaults): Mamba2Fields {
  const n_heads = config.count(names.heads, defaults.heads);
  const given = config.value(names.headDim) ?? defaults.headDim;
  const head_dim = given === "auto" ? Math.floor(defaults.inner / n_heads) : config.count(names.headDim, Number(given));
  return tidy({
    type: "mamba2" as const,
    n_heads,
    head_dim,
    d_state: config.count(names.state, defaults.state),
    n_groups: config.count(names.groups, defaults.groups),
    d_conv: config.count(names.conv, 4),
    conv_bias: names.convBias === undefined ? undefined : unless(config.flag(names.convBias, true), true),
    bias: unless(config.flag(names.bias, false), false),
  });
}

/** The fields of a configuration that stand for a Mamba-2 layer; `names` must be single. */
export function writeMamba2(mixer: Mamba2Spec, names: Mamba2Names): Record<string, unknown> {
  const one = (name: FieldName): string => (typeof name === "string" ? name : (name[0] ?? ""));
  return {
    [one(names.heads)]: mixer.n_heads,
    [one(names.headDim)]: mixer.head_dim,
    [one(names.groups)]: mixer.n_groups,
    [one(names.state)]: mixer.d_state,
    [one(names.conv)]: mixer.d_conv,
    ...(names.convBias === undefined ? {} : { [one(names.convBias)]: mixer.conv_bias }),
    [one(names.bias)]: mixer.bias,
    ...writeDtInit(mixer),
  };
}

/** `time_step_limit`: the range that step sizes are clamped to. */
export function readStepLimit(config: ConfigReader): Pick<Mamba2Fields, "dt_limit"> {
  const [low = 0, high = Number.POSITIVE_INFINITY] = config.numbers(
    "time_step_limit",
    [0, Number.POSITIVE_INFINITY],
    2,
  );
  return low === 0 && high === Number.POSITIVE_INFINITY
    ? {}
    : { dt_limit: [low, Number.isFinite(high) ? high : "inf"] };
}

/** Heads and their width must make up the inner width that the expansion says. */
export function requireInner(
  config: ConfigReader,
  { n_heads = 0, head_dim = 0 }: { readonly n_heads?: number; readonly head_dim?: number },
  inner: number,
): void {
  if (n_heads * head_dim === inner) return;
  config.problem("mamba_n_heads", `${n_heads} heads of ${head_dim} channels do not make up the inner width ${inner}`);
}

/** Defaults of bamba, granitemoehybrid and falcon_h1, but for the inner width. */
export const MAMBA2_DEFAULTS = { heads: 128, headDim: "auto", groups: 1, state: 256 } as const;

/** The whole Mamba-2 layer of bamba and granitemoehybrid, whose inner width is a multiple of the model's. */
export function readExpandedMamba2(config: ConfigReader, d_model: number): Mamba2Fields {
  const inner = config.number("mamba_expand", 2) * d_model;
  const mixer = {
    ...readMamba2(config, MAMBA2_PREFIXED, { ...MAMBA2_DEFAULTS, inner }),
    ...readStepLimit(config),
    ...dtInit(config),
  };
  requireInner(config, mixer, inner);
  return mixer;
}

/** The fields of a configuration that {@link readExpandedMamba2} reads. */
export function writeExpandedMamba2(mixer: Mamba2Spec, d_model: number): Record<string, unknown> {
  return {
    ...writeMamba2(mixer, MAMBA2_PREFIXED),
    mamba_expand: mixer.d_inner / d_model,
    mamba_chunk_size: 256,
    time_step_limit: mixer.dt_limit,
  };
}
