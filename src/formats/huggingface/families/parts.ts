// Pieces of configurations that several families have in common.
import type { ArchitectureFile, AttentionFields, MlpFields } from "../../../spec/types.generated.ts";
import type { ArchitectureSpec, MlpSpec, ResolvedBranch, ResolvedLayer } from "../../../spec/types.ts";
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
