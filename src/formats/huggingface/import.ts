// A Hugging Face checkpoint as an architecture with weights: the configuration becomes a spec, the stored tensors its
// parameters. Where the bytes come from is the caller's business (node/folder.ts reads folders).
import { buildForward } from "../../blocks/model.ts";
import { SpecError } from "../../spec/diagnostic.ts";
import { defineSpec } from "../../spec/load.ts";
import { suggestion } from "../../spec/suggest.ts";
import type { ArchitectureFile } from "../../spec/types.generated.ts";
import type { ArchitectureSpec } from "../../spec/types.ts";
import { type FloatDtype, toFloat32, viewAs } from "../safetensors/dtype.ts";
import { type Binding, bindWeights, countPresent, type Ignored } from "./bind.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { ConfigReader } from "./config.ts";
import { type Piece, parameterRows } from "./copy.ts";
import { HuggingFaceError } from "./error.ts";
import { families } from "./families/index.ts";
import type { Conversion, Family } from "./family.ts";
import { isObject, parseConfigJson } from "./json.ts";
import { type ParameterShapes, planWeights, type StoredTensor } from "./plan.ts";

export interface ImportOptions {
  /** Name of the architecture. */
  readonly name: string;
  /** Fields of config.json to overlook although their meaning is not known. */
  readonly ignoreFields?: readonly string[];
}

/** A configuration read: the family, and what it stands for. */
export interface ConvertedConfig extends Conversion {
  readonly family: Family;
  readonly spec: ArchitectureSpec;
}

/** The configuration of the text model: the whole of it, or a part of a multimodal one's. */
export function textConfig(config: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { model_type: type, text_config: text } = config;
  const isPart = families.some(({ partOf = [] }) => typeof type === "string" && partOf.includes(type));
  if (!isPart || !isObject(text)) return config;
  return { ...text, tie_word_embeddings: text.tie_word_embeddings ?? config.tie_word_embeddings };
}

/** The family that a configuration names. @throws HuggingFaceError with the nearest names where there is none. */
export function familyOf(config: Readonly<Record<string, unknown>>, file: string): Family {
  const type = config.model_type;
  const names = families.flatMap(({ modelTypes }) => [...modelTypes]);
  if (typeof type !== "string") {
    const found = type === undefined ? "missing" : JSON.stringify(type);
    throw new HuggingFaceError(file, `model_type: ${found}; allowed: ${names.join(", ")}`);
  }
  const family = families.find(({ modelTypes }) => modelTypes.includes(type));
  if (family !== undefined) return family;
  const near = suggestion(type, names);
  const hint = near?.startsWith("did you mean")
    ? `; ${near} Supported: ${names.join(", ")}`
    : `; supported: ${names.join(", ")}`;
  throw new HuggingFaceError(file, `model_type: ${JSON.stringify(type.slice(0, 80))} is not supported${hint}`);
}

/** The architecture that a parsed config.json stands for. @throws HuggingFaceError with everything wrong with it */
export function convertConfig(
  whole: Readonly<Record<string, unknown>>,
  file: string,
  { name, ignoreFields = [] }: ImportOptions,
): ConvertedConfig {
  const config = textConfig(whole);
  const family = familyOf(config, file);
  const ignored = new Set(ignoreFields);
  const reader = new ConfigReader(config, file);
  const conversion = family.convert(reader);
  reader.finish(ignored);
  reader.throwProblems();
  try {
    const spec = defineSpec({ ...conversion.file, name }, { file: "architecture" });
    return { ...conversion, file: { ...conversion.file, name }, family, spec };
  } catch (error) {
    if (!(error instanceof SpecError)) throw error;
    const problems = error.diagnostics.filter(({ severity }) => severity === "error");
    throw new HuggingFaceError(
      file,
      problems.map(({ path, message }) => `stands for an architecture with an error at ${path}: ${message}`),
      { cause: error },
    );
  }
}

/** Shapes of a spec's parameters by name. */
export function parameterShapes(spec: ArchitectureSpec): ParameterShapes {
  const { parameters } = buildForward(spec, { stateful: true });
  return new Map(parameters.map(({ name, tensor }) => [name, tensor.shape as readonly number[]]));
}

/** An architecture whose weights are read from a checkpoint when they are asked for: a WeightSource of `createModel`. */
export class ImportedModel {
  readonly modelType: string;
  readonly file: ArchitectureFile;
  readonly spec: ArchitectureSpec;
  readonly shapes: ParameterShapes;
  /** Tensors that were left out, and why nothing is lost. */
  readonly ignored: readonly Ignored[];
  /** The parsed config.json. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly #checkpoint: Checkpoint;
  readonly #binding: Binding;

  constructor(
    converted: ConvertedConfig,
    config: Readonly<Record<string, unknown>>,
    shapes: ParameterShapes,
    checkpoint: Checkpoint,
    binding: Binding,
  ) {
    this.modelType = String(config.model_type);
    this.config = config;
    this.file = converted.file;
    this.spec = converted.spec;
    this.shapes = shapes;
    this.ignored = binding.ignored;
    this.#checkpoint = checkpoint;
    this.#binding = binding;
  }

  /** The type that a parameter is stored in; F32 where its pieces differ. */
  dtype(parameter: string): FloatDtype {
    const types = new Set(this.#pieces(parameter).map(({ name }) => this.#checkpoint.dtype(name)));
    const [only] = types;
    return types.size === 1 && only !== undefined ? only : "F32";
  }

  /** The rows of a parameter in pieces of type `dtype`. */
  rows(parameter: string, dtype: FloatDtype = this.dtype(parameter)): AsyncGenerator<Uint8Array> {
    return parameterRows(this.#checkpoint, this.#pieces(parameter), dtype);
  }

  /** Names of all parameters. */
  keys(): Iterable<string> {
    return this.shapes.keys();
  }

  /** A whole parameter; undefined where the model has none of this name. */
  async get(parameter: string): Promise<Float32Array | undefined> {
    const shape = this.shapes.get(parameter);
    if (shape === undefined) return undefined;
    const out = new Float32Array(shape.reduce((product, length) => product * length, 1));
    const dtype = this.dtype(parameter);
    let done = 0;
    for await (const bytes of this.rows(parameter, dtype)) {
      const values = viewAs(bytes, dtype);
      toFloat32(values, dtype, out.subarray(done, done + values.length));
      done += values.length;
    }
    return out;
  }

  /** The checkpoint's tensors that parameters come from, by the names that they have there. */
  get tensors(): ReadonlyMap<string, StoredTensor> {
    const pieces = [...this.#binding.pieces.values()].flat();
    return new Map(pieces.map(({ name, tensor }) => [name, tensor]));
  }

  #pieces(parameter: string): readonly Piece[] {
    const pieces = this.#binding.pieces.get(parameter);
    if (pieces === undefined) throw new HuggingFaceError(this.#checkpoint.name, `no tensor fills "${parameter}"`);
    return pieces;
  }
}

/** Every layer has tensors of its own; a file that claims more is not worth building a graph for. */
function requireLayers(layers: number, checkpoint: Checkpoint): void {
  const tensors = checkpoint.names.length;
  if (layers <= tensors) return;
  throw new HuggingFaceError(checkpoint.name, `only ${tensors} tensors, but the configuration has ${layers} layers`);
}

/**
 * Matches a checkpoint with its configuration. No weights are read yet.
 *
 * @param configFile name of the configuration, for messages
 * @throws HuggingFaceError for what can't be converted, with all there is to say
 */
export function importCheckpoint(
  configText: string,
  configFile: string,
  checkpoint: Checkpoint,
  options: ImportOptions,
): ImportedModel {
  const config = parseConfigJson(configText, configFile);
  if (isObject(config.quantization_config)) {
    throw new HuggingFaceError(
      configFile,
      "quantization_config: quantised checkpoints are not supported; use one with F32, F16 or BF16 weights",
    );
  }
  const converted = convertConfig(config, configFile, options);
  const { table, stack, spec } = converted;
  requireLayers(new Set(stack.map(({ layer }) => layer)).size, checkpoint);
  const shapes = parameterShapes(spec);
  const plans = table.prefixes.map((prefix) => ({
    prefix,
    plan: planWeights(table, prefix, stack, spec.layers, shapes),
  }));
  const best = plans.reduce((a, b) => (countPresent(b.plan, checkpoint) > countPresent(a.plan, checkpoint) ? b : a));
  const ignorable = table.ignored.map(({ stored, reason }) => ({
    stored: stored.replaceAll("{prefix}", best.prefix),
    reason,
  }));
  return new ImportedModel(converted, config, shapes, checkpoint, bindWeights(best.plan, checkpoint, ignorable));
}
