// Models and states as files on disk. Files are replaced whole or not at all.
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../../formats/node/atomic-file.ts";
import { fileSource, writeSafetensorsFile } from "../../formats/safetensors/node/file.ts";
import { loadSpecFile } from "../../spec/node/files.ts";
import { ModelError } from "../error.ts";
import { ARCHITECTURE_FILE, decodeWeights, encodeWeights, WEIGHTS_FILE } from "../files.ts";
import { createModel, type Model, type ModelOptions } from "../model.ts";
import type { ModelState } from "../state.ts";

/** Writes architecture.yaml and model.safetensors into `directory`, which is made if need be. */
export async function saveModel(model: Model, directory: string): Promise<void> {
  const { architecture, tensors, metadata } = await encodeWeights(model);
  await mkdir(directory, { recursive: true });
  await writeSafetensorsFile(join(directory, WEIGHTS_FILE), tensors, metadata);
  const text = new TextEncoder().encode(architecture);
  await writeFileAtomic(join(directory, ARCHITECTURE_FILE), (sink) => sink.write(text));
}

/** Opens a folder that `saveModel` wrote. @throws SpecError, ModelError or SafetensorsError, naming the file at fault. */
export async function loadModel(directory: string, options: ModelOptions = {}): Promise<Model> {
  const spec = loadSpecFile(join(directory, ARCHITECTURE_FILE));
  const source = await fileSource(join(directory, WEIGHTS_FILE));
  let weights: Map<string, Float32Array>;
  try {
    weights = await decodeWeights(source, spec);
  } finally {
    await source.close();
  }
  return createModel(spec, { ...options, weights });
}

/** Writes a state to `path`. */
export async function saveState(state: ModelState, path: string): Promise<void> {
  const bytes = await state.save();
  await writeFileAtomic(path, (sink) => sink.write(bytes));
}

/** Reads a state for `model`. @throws ModelError when it belongs to another architecture. */
export async function loadState(model: Model, path: string): Promise<ModelState> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    throw new ModelError(`${path} can't be read: ${(cause as Error).message}`, { cause });
  }
  return model.loadState(bytes, path);
}
