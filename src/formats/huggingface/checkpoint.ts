// The weights of a checkpoint: one safetensors file, or several with an index that says which tensor is where. Only headers
// are read at first; rows of tensors when they are asked for.
import { bytesOf, type FloatDtype, isFloat } from "../safetensors/dtype.ts";
import { openSafetensors, type RandomAccessSource, type Safetensors, type TensorInfo } from "../safetensors/index.ts";
import type { RowSource } from "./copy.ts";
import { HuggingFaceError, shorten } from "./error.ts";
import { isObject, parseConfigJson } from "./json.ts";

/** Name of the weights where there is one file. */
export const SINGLE_FILE = "model.safetensors";
/** Name of the list of tensors where there are several files. */
export const INDEX_FILE = "model.safetensors.index.json";

/** The files that an index names, in order. @throws HuggingFaceError for an index that is no such thing. */
export function readIndex(
  text: string,
  file: string,
): { readonly files: string[]; readonly places: Map<string, string> } {
  const { weight_map: map } = parseConfigJson(text, file);
  if (!isObject(map)) throw new HuggingFaceError(file, 'has no object "weight_map", which says where each tensor is');
  const places = new Map<string, string>();
  for (const [tensor, place] of Object.entries(map)) {
    // A name with a path in it could lead out of the folder.
    if (typeof place !== "string" || !/^[\w][\w.-]*\.safetensors$/.test(place)) {
      throw new HuggingFaceError(
        file,
        `tensor ${JSON.stringify(tensor.slice(0, 80))} is said to be in ${JSON.stringify(place)?.slice(0, 120)}; allowed: the name of a safetensors file in the same folder`,
      );
    }
    places.set(tensor, place);
  }
  return { files: [...new Set(places.values())].sort(), places };
}

interface Place {
  readonly file: Safetensors;
  readonly info: TensorInfo;
}

export class Checkpoint implements RowSource {
  /** For messages: the folder. */
  readonly name: string;
  readonly #places: ReadonlyMap<string, Place>;

  private constructor(name: string, places: ReadonlyMap<string, Place>) {
    this.name = name;
    this.#places = places;
  }

  /**
   * Reads the headers of `sources`.
   *
   * @param places where an index says that each tensor is, by the sources' names
   * @throws SafetensorsError for a damaged file, HuggingFaceError for files at odds with each other or with the index
   */
  static async open(
    name: string,
    sources: ReadonlyMap<string, RandomAccessSource>,
    places?: ReadonlyMap<string, string>,
  ): Promise<Checkpoint> {
    const found = new Map<string, Place>();
    const problems: string[] = [];
    for (const [fileName, source] of sources) {
      const file = await openSafetensors(source);
      for (const [tensor, info] of file.tensors) {
        const other = found.get(tensor);
        if (other !== undefined) problems.push(`tensor "${tensor}" is in ${other.file.name} and in ${file.name}`);
        const expected = places?.get(tensor);
        if (places !== undefined && expected !== fileName) {
          problems.push(`tensor "${tensor}" is in ${fileName}, but the index says ${expected ?? "nothing of it"}`);
        }
        found.set(tensor, { file, info });
      }
    }
    const missing = [...(places?.keys() ?? [])].filter((tensor) => !found.has(tensor));
    if (missing.length > 0) problems.push(`the index lists tensors that are in no file: ${shorten(missing)}`);
    if (problems.length > 0) throw new HuggingFaceError(name, problems.slice(0, 20));
    return new Checkpoint(name, found);
  }

  /** Names of all tensors. */
  get names(): readonly string[] {
    return [...this.#places.keys()];
  }

  info(name: string): TensorInfo | undefined {
    return this.#places.get(name)?.info;
  }

  dtype(name: string): FloatDtype {
    const { dtype } = this.#place(name).info;
    if (!isFloat(dtype))
      throw new HuggingFaceError(this.name, `tensor "${name}" has dtype ${dtype}; allowed: F64, F32, F16, BF16`);
    return dtype;
  }

  async rows(name: string, first: number, count: number, columns: number): Promise<Uint8Array> {
    const { file } = this.#place(name);
    return bytesOf(await file.read(name, { start: first * columns, count: count * columns }));
  }

  #place(name: string): Place {
    const place = this.#places.get(name);
    if (place === undefined) throw new HuggingFaceError(this.name, `has no tensor "${name}"`);
    return place;
  }
}
