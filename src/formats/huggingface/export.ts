// An architecture with weights as a Hugging Face checkpoint. A family takes an architecture where some configuration of the
// family stands for just that architecture: one is made, read back as an import would, and compared.
import type { ArchitectureSpec } from "../../spec/types.ts";
import { dtypeBytes, type FloatDtype, viewAs } from "../safetensors/dtype.ts";
import type { TensorToWrite } from "../safetensors/index.ts";
import { SINGLE_FILE } from "./checkpoint.ts";
import { isNeutralField } from "./config.ts";
import { type RowSource, storedBytes } from "./copy.ts";
import { differences } from "./differences.ts";
import { HuggingFaceError } from "./error.ts";
import { families } from "./families/index.ts";
import type { Family } from "./family.ts";
import { type ConvertedConfig, convertConfig, parameterShapes } from "./import.ts";
import { planWeights, type StoredTensor } from "./plan.ts";

/** How an architecture fits a family. */
export interface Fit {
  readonly family: Family;
  /** config.json; undefined where not even the shape of the stack fits. */
  readonly config: Readonly<Record<string, unknown>> | undefined;
  /** What the configuration stands for. */
  readonly converted: ConvertedConfig | undefined;
  /** What the family can't express; empty where it fits. */
  readonly problems: readonly string[];
}

/** How `spec` fits one family. */
export function fitFamily(spec: ArchitectureSpec, family: Family): Fit {
  const fields = family.configure(spec);
  if (fields === undefined) {
    return { family, config: undefined, converted: undefined, problems: ["its stack of layers is another"] };
  }
  const [type] = family.modelTypes;
  const config = { architectures: [family.architecture], model_type: type, ...fields };
  try {
    const converted = convertConfig(config, type, { name: spec.name });
    return { family, config, converted, problems: differences(spec, converted.spec) };
  } catch (error) {
    // A configuration that the family itself refuses: a value that the field can't have.
    if (!(error instanceof HuggingFaceError)) throw error;
    return { family, config, converted: undefined, problems: error.problems };
  }
}

/**
 * The family that an architecture fits.
 *
 * @param preferred `model_type` to take; otherwise the first that fits
 * @throws HuggingFaceError for one that fits none, saying what stands in the way for the nearest
 */
export function chooseFamily(spec: ArchitectureSpec, preferred?: string): Fit {
  const candidates = families.filter(({ modelTypes }) => preferred === undefined || modelTypes.includes(preferred));
  if (candidates.length === 0) {
    const all = families.map(({ modelTypes }) => modelTypes[0]).join(", ");
    throw new HuggingFaceError(spec.name, `"${preferred}" is not a family; allowed: ${all}`);
  }
  const fits = candidates.map((family) => fitFamily(spec, family));
  const fitting = fits.find(({ problems }) => problems.length === 0);
  if (fitting !== undefined) return fitting;
  const reached = fits.filter(({ config }) => config !== undefined);
  // Another number of layers hides all that is different in them.
  const distance = ({ converted, problems }: Fit): number =>
    problems.length + (converted?.spec.layers.length === spec.layers.length ? 0 : 100);
  const nearest = (reached.length > 0 ? reached : fits).reduce((a, b) => (distance(b) < distance(a) ? b : a));
  const [type] = nearest.family.modelTypes;
  const lead =
    preferred === undefined ? `fits no family of transformers; for the nearest, ${type},` : `does not fit ${type}:`;
  const problems = nearest.problems.slice(0, 20).map((problem) => `\n  - ${problem}`);
  throw new HuggingFaceError(spec.name, `${lead} these fields stand in the way:${problems.join("")}`);
}

export interface ExportOptions {
  /** Type of floating-point tensors; default: that of the parameters. */
  readonly dtype?: FloatDtype | undefined;
  /** Most bytes of one file; a single larger tensor has a file of its own. */
  readonly maxShardBytes: number;
  /** config.json that the model was imported from: fields that do not change what it computes are taken over. */
  readonly original?: Readonly<Record<string, unknown>> | undefined;
}

export interface ExportedFile {
  readonly name: string;
  readonly tensors: readonly TensorToWrite[];
}

export interface Export {
  readonly config: Readonly<Record<string, unknown>>;
  readonly files: readonly ExportedFile[];
  /** The list of tensors; undefined where there is one file. */
  readonly index: object | undefined;
  readonly tensors: number;
  readonly bytes: number;
}

/** Names of types in configurations. */
const DTYPE_NAMES: Readonly<Record<FloatDtype, string>> = {
  F64: "float64",
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
};

/** The files of a checkpoint. Weights are read from `source`, by the parameters' names, when they are written. */
export function exportCheckpoint(spec: ArchitectureSpec, fit: Fit, source: RowSource, options: ExportOptions): Export {
  const { converted, config } = withOriginal(spec, fit, options.original);
  if (converted === undefined || config === undefined) throw new HuggingFaceError(spec.name, fit.problems);
  const { table, stack } = converted;
  const shapes = parameterShapes(converted.spec);
  const [prefix = ""] = table.prefixes;
  const plan = planWeights(table, prefix, stack, converted.spec.layers, shapes);
  const own = renamed(source, converted.spec, spec);
  const list = plan.entries.flatMap(([written = []]) => written).map((tensor) => toWrite(tensor, own, options.dtype));
  const bytes = list.reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
  const types = new Map<FloatDtype, number>();
  for (const { dtype, shape } of list) types.set(dtype, (types.get(dtype) ?? 0) + shape.reduce((n, d) => n * d, 1));
  const [main] = [...types].reduce((a, b) => (b[1] > a[1] ? b : a), ["F32", 0]);
  return {
    config: { ...config, dtype: DTYPE_NAMES[main] },
    ...shard(list, options.maxShardBytes, bytes),
    tensors: list.length,
    bytes,
  };
}

type FloatTensor = TensorToWrite & { readonly dtype: FloatDtype };

function toWrite(tensor: StoredTensor, source: RowSource, wanted: FloatDtype | undefined): FloatTensor {
  const found = new Set(tensor.parts.map(({ parameter }) => source.dtype(parameter)));
  const [only = "F32"] = found;
  const dtype = wanted ?? (found.size === 1 ? only : "F32");
  async function* data(): AsyncGenerator<ArrayBufferView> {
    for await (const bytes of storedBytes(source, tensor, dtype)) yield viewAs(bytes, dtype);
  }
  return { name: tensor.names[0] ?? "", dtype, shape: tensor.shape, data };
}

function tensorBytes({ shape, dtype }: FloatTensor): number {
  return shape.reduce((product, length) => product * length, dtypeBytes(dtype));
}

/** Tensors in order, as many to a file as fit. */
function shard(tensors: readonly FloatTensor[], limit: number, total: number): Pick<Export, "files" | "index"> {
  const groups: FloatTensor[][] = [];
  let size = Number.POSITIVE_INFINITY;
  for (const tensor of tensors) {
    const bytes = tensorBytes(tensor);
    if (size + bytes > limit) {
      groups.push([]);
      size = 0;
    }
    groups.at(-1)?.push(tensor);
    size += bytes;
  }
  if (groups.length <= 1) return { files: [{ name: SINGLE_FILE, tensors }], index: undefined };
  const number = (i: number): string => String(i).padStart(5, "0");
  const files = groups.map((group, i) => ({
    name: `model-${number(i + 1)}-of-${number(groups.length)}.safetensors`,
    tensors: group,
  }));
  const map = files.flatMap(({ name, tensors: list }) => list.map((tensor): [string, string] => [tensor.name, name]));
  map.sort(([a], [b]) => (a < b ? -1 : 1));
  return { files, index: { metadata: { total_size: total }, weight_map: Object.fromEntries(map) } };
}

/**
 * The configuration that a model was imported from, where it still stands for the architecture; otherwise the one that was
 * made, with the fields of the original that mean nothing for the computation, such as the ids of special tokens.
 */
function withOriginal(
  spec: ArchitectureSpec,
  fit: Fit,
  original: Readonly<Record<string, unknown>> | undefined,
): Pick<Fit, "config" | "converted"> {
  if (original === undefined || !fit.family.modelTypes.includes(String(original.model_type))) return fit;
  const { torch_dtype: _old, transformers_version: _version, ...config } = original;
  try {
    const converted = convertConfig(config, fit.family.modelTypes[0], { name: spec.name });
    if (differences(spec, converted.spec).length === 0) return { config, converted };
  } catch (error) {
    // A field that import was told to ignore.
    if (!(error instanceof HuggingFaceError)) throw error;
  }
  const own = [
    "architectures",
    "model_type",
    "dtype",
    "torch_dtype",
    "transformers_version",
    "auto_map",
    "_name_or_path",
  ];
  const neutral = Object.entries(original).filter(([name]) => isNeutralField(name) && !own.includes(name));
  return { converted: fit.converted, config: { ...fit.config, ...Object.fromEntries(neutral) } };
}

/** `source`, whose parameters have the names of `theirs`, under the names of `mine`: shared blocks may be called otherwise. */
function renamed(source: RowSource, mine: ArchitectureSpec, theirs: ArchitectureSpec): RowSource {
  const scopes = new Map(mine.layers.map(({ weights }, i) => [`${weights}.`, `${theirs.layers[i]?.weights}.`]));
  const rename = (name: string): string => {
    const scope = /^(?:layers|shared)\.[^.]+\./.exec(name)?.[0] ?? "";
    return `${scopes.get(scope) ?? scope}${name.slice(scope.length)}`;
  };
  return {
    dtype: (name) => source.dtype(rename(name)),
    rows: (name, first, count, columns) => source.rows(rename(name), first, count, columns),
  };
}
