// Models and states as files on disk. Files are replaced whole or not at all.
import { mkdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { isHuggingFaceFolder, openHuggingFace } from "../../formats/huggingface/node/folder.ts";
import { writeFileAtomic } from "../../formats/node/atomic-file.ts";
import { fileSource, writeSafetensorsFile } from "../../formats/safetensors/node/file.ts";
import { loadSpecFile } from "../../spec/node/files.ts";
import type { ArchitectureSpec } from "../../spec/types.ts";
import { createModel, type ModelOptions, type WeightSource } from "../create.ts";
import { ModelError } from "../error.ts";
import { ARCHITECTURE_FILE, encodeWeights, openWeights, WEIGHTS_FILE } from "../files.ts";
import type { Model } from "../model.ts";
import type { ModelState } from "../state.ts";

/** Writes architecture.yaml and model.safetensors into `directory`, which is made if need be. */
export async function saveModel(model: Model, directory: string): Promise<void> {
  const { architecture, tensors, metadata } = await encodeWeights(model);
  await mkdir(directory, { recursive: true });
  await writeSafetensorsFile(join(directory, WEIGHTS_FILE), tensors, metadata);
  const text = new TextEncoder().encode(architecture);
  await writeFileAtomic(join(directory, ARCHITECTURE_FILE), (sink) => sink.write(text));
}

/** An architecture with weights on disk, which are read when they are asked for. Close it after use. */
export interface OpenModel {
  readonly spec: ArchitectureSpec;
  readonly weights: WeightSource;
  close(): Promise<void>;
}

/**
 * Opens a folder that `saveModel` wrote, or a Hugging Face checkpoint.
 * @throws SpecError, ModelError, SafetensorsError or HuggingFaceError, naming the file at fault
 */
export async function openModel(directory: string): Promise<OpenModel> {
  if (!(await isModelOfOurs(directory)) && (await isHuggingFaceFolder(directory))) {
    const { imported, close } = await openHuggingFace(directory);
    return { spec: imported.spec, weights: imported, close };
  }
  const spec = loadSpecFile(join(directory, ARCHITECTURE_FILE));
  const source = await fileSource(join(directory, WEIGHTS_FILE));
  try {
    return { spec, weights: await openWeights(source, spec), close: () => source.close() };
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** Whether a folder holds an architecture file, as those of runs, saved and imported models do. */
export async function isModelOfOurs(directory: string): Promise<boolean> {
  const status = await stat(join(directory, ARCHITECTURE_FILE)).catch(() => undefined);
  return status?.isFile() === true;
}

/** The model in a folder, as {@link openModel}, with its weights in a runtime's memory. */
export async function loadModel(directory: string, options: ModelOptions = {}): Promise<Model> {
  const { spec, weights, close } = await openModel(directory);
  try {
    return await createModel(spec, { ...options, weights });
  } finally {
    await close();
  }
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
