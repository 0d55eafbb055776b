// A checkpoint as a folder on disk: config.json and model.safetensors, or several files with an index.
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { type FileSource, fileSource } from "../../safetensors/node/file.ts";
import { Checkpoint, INDEX_FILE, readIndex, SINGLE_FILE } from "../checkpoint.ts";
import { HuggingFaceError } from "../error.ts";
import { type ImportedModel, type ImportOptions, importCheckpoint } from "../import.ts";

export const CONFIG_FILE = "config.json";

/** Whether `folder` looks like a checkpoint of transformers. */
export async function isHuggingFaceFolder(folder: string): Promise<boolean> {
  const status = await stat(join(folder, CONFIG_FILE)).catch(() => undefined);
  return status?.isFile() === true;
}

/** The weights of a folder, headers read; close them after use. */
export async function openCheckpoint(folder: string): Promise<{ checkpoint: Checkpoint; close: () => Promise<void> }> {
  const names = await readdir(folder).catch((cause: NodeJS.ErrnoException) => {
    throw new HuggingFaceError(folder, `can't be read (${cause.code})`, { cause });
  });
  const index = names.includes(INDEX_FILE)
    ? readIndex(await readText(join(folder, INDEX_FILE)), join(folder, INDEX_FILE))
    : undefined;
  const files = names.includes(SINGLE_FILE) ? [SINGLE_FILE] : index?.files;
  if (files === undefined) throw new HuggingFaceError(folder, noWeights(names));
  const sources = new Map<string, FileSource>();
  const close = async (): Promise<void> => {
    for (const source of sources.values()) await source.close();
  };
  try {
    for (const name of files) sources.set(name, await fileSource(join(folder, name)));
    const places = names.includes(SINGLE_FILE) ? undefined : index?.places;
    return { checkpoint: await Checkpoint.open(folder, sources, places), close };
  } catch (error) {
    await close();
    throw error;
  }
}

function noWeights(names: readonly string[]): string {
  const found = names.filter((name) => /\.(bin|pt|pth|gguf|h5|msgpack|safetensors)$/.test(name));
  const hint =
    found.length === 0
      ? ""
      : `; it has ${found.slice(0, 4).join(", ")}, and only safetensors under these names are read`;
  return `no ${SINGLE_FILE} and no ${INDEX_FILE}${hint}`;
}

/** Opens a folder; close the model's files after use. @throws HuggingFaceError, SafetensorsError */
export async function openHuggingFace(
  folder: string,
  options: Partial<ImportOptions> = {},
): Promise<{ imported: ImportedModel; close: () => Promise<void> }> {
  const configFile = join(folder, CONFIG_FILE);
  const text = await readText(configFile);
  const { checkpoint, close } = await openCheckpoint(folder);
  try {
    const imported = importCheckpoint(text, configFile, checkpoint, { name: nameOf(folder), ...options });
    return { imported, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A name for the architecture: that of the folder, in the characters that names have. */
export function nameOf(folder: string): string {
  const name = basename(resolve(folder))
    .replace(/[^\w.-]+/g, "-")
    .slice(0, 80);
  return /\w/.test(name) ? name : "imported";
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new HuggingFaceError(path, code === "ENOENT" ? "no such file" : `can't be read (${code})`, { cause });
  }
}
