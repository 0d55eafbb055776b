// What a family of checkpoints is: how its configuration says what an architecture file says, which stored tensor holds
// which parameters, and the way back.
import { compressPattern } from "../../spec/compress.ts";
import type { ArchitectureFile, BlockFields } from "../../spec/types.generated.ts";
import type { ArchitectureSpec } from "../../spec/types.ts";
import type { ConfigReader } from "./config.ts";
import type { Alternatives, IgnoredTensor, Rule } from "./table.ts";

/** One layer of an architecture. */
export interface StackEntry {
  /** The block it is an instance of. */
  readonly block: string;
  /** The layer of the checkpoint under whose name its weights are stored. */
  readonly layer: number;
  /** Ordinal among the uses of a shared block, where names depend on it. */
  readonly use?: number;
}

/** Which stored tensors hold which parameters. */
export interface WeightTable {
  /** What names of the body begin with: the first is written, the others are accepted. */
  readonly prefixes: readonly string[];
  /** Rules with names relative to the prefix. */
  readonly body: readonly (Rule | Alternatives)[];
  /** Rules with whole names: the head. */
  readonly head: readonly (Rule | Alternatives)[];
  /** What names of layers begin with after the prefix: `layers.{layer}.` */
  readonly layer: string;
  /** Rules of each block, relative to the layer on both sides. */
  readonly blocks: Readonly<Record<string, readonly (Rule | Alternatives)[]>>;
  /** Tensors that are not read, by whole names; `{prefix}` stands for the prefix. */
  readonly ignored: readonly IgnoredTensor[];
}

/** What a configuration stands for. */
export interface Conversion {
  readonly file: ArchitectureFile;
  /** One entry for each layer of the architecture. */
  readonly stack: readonly StackEntry[];
  readonly table: WeightTable;
}

/** A configuration to write, without `model_type` and `architectures`. */
export type ConfigFields = Readonly<Record<string, unknown>>;

export interface Family {
  /** `model_type` of config.json; the first is written, the others are read alike. */
  readonly modelTypes: readonly [string, ...string[]];
  /** `model_type` of multimodal models whose `text_config` is one of this family; only the text model is read. */
  readonly partOf?: readonly string[];
  /** Class of the model, for `architectures`. */
  readonly architecture: string;
  /** Reads a configuration; what is wrong with it is recorded in the reader. */
  convert(config: ConfigReader): Conversion;
  /**
   * The configuration that comes nearest to an architecture. What it can't express need not be checked: the caller
   * converts it again and compares. undefined where not even the shape of the stack fits.
   */
  configure(spec: ArchitectureSpec): ConfigFields | undefined;
}

/** What tells the variants of a model apart, beside its sizes. */
export interface FamilyVariant {
  readonly type: string;
  readonly architecture: string;
  /** Multimodal models that it is the text model of. */
  readonly partOf?: readonly string[];
}

/** Makes a family of each variant of a model. */
export function variants<V extends FamilyVariant>(
  convert: (config: ConfigReader, variant: V) => Conversion,
  configure: (spec: ArchitectureSpec, variant: V) => ConfigFields | undefined,
): (variant: V) => Family {
  return (variant) => ({
    modelTypes: [variant.type],
    partOf: variant.partOf ?? [],
    architecture: variant.architecture,
    convert: (config) => convert(config, variant),
    configure: (spec) => configure(spec, variant),
  });
}

/** Fields without those that are undefined. */
export function tidy<T extends object>(fields: T): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}

/** `value`, or undefined where it is the default, which need not be written. */
export function unless<T>(value: T, fallback: T): T | undefined {
  return value === fallback ? undefined : value;
}

/**
 * The stack of a model whose i-th layer consists of the blocks `layers[i]`, and the fields `blocks` (those that occur) and
 * `layers` of its file.
 */
export function stackLayers(
  layers: readonly (readonly string[])[],
  blocks: Readonly<Record<string, BlockFields>>,
): { readonly stack: readonly StackEntry[]; readonly fields: Pick<ArchitectureFile, "blocks" | "layers"> } {
  const stack = layers.flatMap((names, layer) => names.map((block) => ({ block, layer })));
  const used = Object.entries(blocks).filter(([name]) => stack.some(({ block }) => block === name));
  return {
    stack,
    fields: { blocks: Object.fromEntries(used), layers: compressPattern(stack.map(({ block }) => [block])) },
  };
}
