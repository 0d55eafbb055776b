// Pieces of configurations and weight tables that several families have in common.
import type { AttentionFields, Mamba2Fields, MambaFields, MlpFields } from "../../../spec/types.generated.ts";
import type {
  ArchitectureSpec,
  AttentionSpec,
  Mamba2Spec,
  MambaSpec,
  MlpSpec,
  ResolvedBranch,
  ResolvedLayer,
} from "../../../spec/types.ts";
import type { ConfigReader, FieldName } from "../config.ts";
import { tidy, unless } from "../family.ts";
import { convolution, type IgnoredTensor, linear, type Rule, rule } from "../table.ts";

/** What the parameters of the norm before the head are called, without .weight and .bias. */
export const FINAL_NORM = "final_norm.weight";

/** Activations by their names there. */
export const ACTIVATIONS = {
  silu: "silu",
  swish: "silu",
  gelu: "gelu",
  gelu_new: "gelu_tanh",
  gelu_pytorch_tanh: "gelu_tanh",
  gelu_fast: "gelu_tanh",
  relu: "relu",
  relu2: "relu2",
} as const satisfies Readonly<Record<string, MlpSpec["activation"]>>;

/** The name there of an activation. */
export const ACTIVATION_NAMES: Readonly<Record<MlpSpec["activation"], string>> = {
  silu: "silu",
  gelu: "gelu",
  gelu_tanh: "gelu_pytorch_tanh",
  relu: "relu",
  relu2: "relu2",
};

/** Fields about training and kernels that several families with state-space layers have. */
export function neutralSsmFields(config: ConfigReader): void {
  config.neutral("rescale_prenorm_residual", "use_mambapy", "use_associative_scan", "use_mamba_kernels", "chunk_size");
  config.neutral("time_step_scale", "time_step_init_scheme", "residual_in_fp32");
}

/** The fields of an attention mixer without those that have their defaults. */
export function attentionFields(fields: AttentionFields): AttentionFields {
  const { n_kv_heads, qkv_bias, output_bias, ...rest } = fields;
  return tidy({
    ...rest,
    n_kv_heads: n_kv_heads === fields.n_heads ? undefined : n_kv_heads,
    qkv_bias: unless(qkv_bias, false),
    output_bias: unless(output_bias, false),
  });
}

/** The fields of an MLP without those that have their defaults. */
export function mlpFields(
  d_ff: number,
  activation: MlpSpec["activation"],
  { gated = true, bias = false } = {},
): MlpFields {
  return tidy({ type: "mlp" as const, d_ff, activation, gated, bias: unless(bias, false) });
}

/** How step sizes start, which only matters when a model is trained from scratch. */
export function dtInit(config: ConfigReader): Pick<MambaFields, "dt_min" | "dt_max" | "dt_init_floor"> {
  return tidy({
    dt_min: unless(config.number("time_step_min", 0.001), 0.001),
    dt_max: unless(config.number("time_step_max", 0.1), 0.1),
    dt_init_floor: unless(config.number("time_step_floor", 1e-4), 1e-4),
  });
}

/** Names of the fields of a Mamba-2 layer, which differ between families. */
export interface Mamba2Names {
  readonly heads: FieldName;
  readonly headDim: FieldName;
  readonly groups: FieldName;
  readonly state: FieldName;
  readonly conv: FieldName;
  readonly convBias: FieldName;
  readonly bias: FieldName;
}

/** As bamba, granitemoehybrid and falcon_h1 call them. */
export const MAMBA_PREFIXED: Mamba2Names = {
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
    conv_bias: unless(config.flag(names.convBias, true), true),
    bias: unless(config.flag(names.bias, false), false),
  });
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

/** Tensors of a Mamba-1 layer; `at` is what their names begin with. */
export function mambaRules(at: string, mixer = "mixer"): Rule[] {
  const own = (name: string): string => `${mixer}.${name}`;
  return [
    ...linear(`${at}in_proj`, [own("in_proj_x"), own("in_proj_z")]),
    ...convolution(`${at}conv1d`, own("conv")),
    rule(`${at}x_proj.weight`, [own("x_proj_dt.weight"), own("x_proj_B.weight"), own("x_proj_C.weight")]),
    ...linear(`${at}dt_proj`, own("dt_proj")),
    rule(`${at}A_log`, own("A_log")),
    rule(`${at}D`, own("D")),
    ...linear(`${at}out_proj`, own("out_proj")),
  ];
}

/** Tensors of a Mamba-2 layer. */
export function mamba2Rules(at: string, mixer = "mixer"): Rule[] {
  const own = (...names: string[]): string[] => names.map((name) => `${mixer}.${name}`);
  return [
    ...linear(`${at}in_proj`, own("in_proj_z", "in_proj_x", "in_proj_B", "in_proj_C", "in_proj_dt")),
    ...convolution(`${at}conv1d`, own("conv_x", "conv_B", "conv_C")),
    rule(`${at}dt_bias`, own("dt_bias")),
    rule(`${at}A_log`, own("A_log")),
    rule(`${at}D`, own("D")),
    rule(`${at}norm.weight`, own("norm.weight")),
    ...linear(`${at}out_proj`, own("out_proj")),
  ];
}

/** Tensors of an attention layer with separate projections. `out` is the name of the output projection. */
export function attentionRules(at: string, mixer = "mixer", out = "o_proj"): Rule[] {
  const own = (name: string): string => `${mixer}.${name}`;
  return [
    ...["q_proj", "k_proj", "v_proj"].flatMap((name) => linear(`${at}${name}`, own(name))),
    ...linear(`${at}${out}`, own("o_proj")),
  ];
}

/** Tensors of an MLP. */
export function mlpRules(at: string, names = ["gate_proj", "up_proj", "down_proj"]): Rule[] {
  const [gate = "", up = "", down = ""] = names;
  return [
    ...linear(`${at}${gate}`, "ffn.gate_proj"),
    ...linear(`${at}${up}`, "ffn.up_proj"),
    ...linear(`${at}${down}`, "ffn.down_proj"),
  ];
}

/** A norm's weight and, where it has one, bias. */
export function normRules(stored: string | readonly string[], parameter = "norm"): Rule[] {
  return linear(stored, parameter);
}

/** What a tied model's checkpoint may hold besides the embeddings. */
export function tiedHead(tied: boolean, name = "lm_head.weight"): readonly IgnoredTensor[] {
  return tied ? [{ stored: name, reason: "the head is tied: it is the table of embeddings" }] : [];
}

/** The branch of a layer that has only one, with neutral scales of its own; undefined for any other. */
export function onlyBranch(layer: ResolvedLayer | undefined): ResolvedBranch | undefined {
  return layer?.branches.length === 1 ? layer.branches[0] : undefined;
}

type Operator = ResolvedBranch["operator"];

/** All mixers or MLPs of one type in a stack, from first to last. */
export function operatorsOf<T extends Operator["type"]>(
  spec: ArchitectureSpec,
  type: T,
): Extract<Operator, { type: T }>[] {
  return spec.layers.flatMap(({ branches }) =>
    branches.flatMap(({ operator }) => (operator.type === type ? [operator as Extract<Operator, { type: T }>] : [])),
  );
}

/** The layers two by two; undefined where their number is odd. */
export function pairs(layers: readonly ResolvedLayer[]): [ResolvedLayer, ResolvedLayer][] | undefined {
  if (layers.length % 2 !== 0) return undefined;
  const out: [ResolvedLayer, ResolvedLayer][] = [];
  for (let i = 0; i < layers.length; i += 2) {
    const [mixer, ffn] = [layers[i], layers[i + 1]];
    if (mixer === undefined || ffn === undefined) return undefined;
    out.push([mixer, ffn]);
  }
  return out;
}

/** eps of a norm; of a model's first norm by default. */
export function epsOf(spec: ArchitectureSpec): number {
  return spec.layers[0]?.norm?.eps ?? spec.final_norm?.eps ?? 1e-5;
}

export type { AttentionSpec, Mamba2Spec, MambaSpec, MlpSpec };
