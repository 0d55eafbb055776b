// Pieces of configurations that several families have in common.
import type {
  ArchitectureFile,
  AttentionFields,
  Mamba2Fields,
  MambaFields,
  MlpFields,
} from "../../../spec/types.generated.ts";
import type { ArchitectureSpec, Mamba2Spec, MlpSpec, ResolvedBranch, ResolvedLayer } from "../../../spec/types.ts";
import type { ConfigReader, FieldName } from "../config.ts";
import { tidy, unless } from "../family.ts";

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
    // 0 where it only says that there is no lower limit; nothing could start there.
    dt_min: unless(config.number("time_step_min", 0.001) || 0.001, 0.001),
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
  /** Left out: the convolution always has a bias. */
  readonly convBias?: FieldName;
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
    time_step_min: mixer.dt_min,
    time_step_max: mixer.dt_max,
    time_step_floor: mixer.dt_init_floor,
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

type Operator = ResolvedBranch["operator"];

/** Names of layers there, old and new, and what they are called now. */
const LAYER_TYPES: Readonly<Record<string, string>> = {
  mamba: "linear_attention",
  attention: "full_attention",
};

/**
 * The kind of each layer by its present name; `fallback` where no field says it.
 *
 * @param allowed kinds that the family has
 */
export function readLayerTypes(
  config: ConfigReader,
  field: FieldName,
  layers: number,
  allowed: readonly string[],
  fallback: (layer: number) => string,
): readonly string[] {
  const given = config.texts(field)?.map((type) => LAYER_TYPES[type] ?? type);
  if (given === undefined) return Array.from({ length: layers }, (_, i) => fallback(i));
  if (given.length !== layers) config.problem(field, `${given.length} entries for ${layers} layers`);
  const unknown = given.find((type) => !allowed.includes(type));
  if (unknown !== undefined) {
    config.problem(field, `${JSON.stringify(unknown)} is not supported; allowed: ${allowed.join(", ")}`);
  }
  return given;
}

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

/** What a family does not say in its configuration. */
export interface DecoderDefaults {
  /** Left out: the configuration must say it. */
  readonly width?: number;
  readonly vocabulary?: number;
  /** Name and default of the norms' eps. */
  readonly eps: readonly [name: FieldName, fallback: number];
  readonly tied?: boolean;
  /** one_plus: norms scale by 1 + w. */
  readonly normWeight?: "one_plus";
}

/** The fields of an architecture file around its blocks. */
export function readDecoder(config: ConfigReader, defaults: DecoderDefaults) {
  config.neutral("attention_dropout", "hidden_dropout");
  const { width, vocabulary, eps, tied = false, normWeight } = defaults;
  return {
    d_model: config.count("hidden_size", width),
    vocab_size: config.count("vocab_size", vocabulary),
    norm: tidy({ type: "rms_norm" as const, eps: config.number(eps[0], eps[1]), weight: normWeight }),
    head: { tied: config.flag(["tie_word_embeddings", "tie_embedding"], tied) },
    init: { std: config.number("initializer_range", 0.02) },
  } satisfies ArchitectureFile;
}

/** The fields of a configuration that say what {@link readDecoder} reads. */
export function writeDecoder(spec: ArchitectureSpec, eps = "rms_norm_eps") {
  return {
    hidden_size: spec.d_model,
    vocab_size: spec.vocab_size,
    [eps]: epsOf(spec),
    tie_word_embeddings: spec.head.tied,
    initializer_range: spec.init.std,
  };
}
