// The folder of a run: where it lies, what it holds, and whose it is.
//   run.yaml            the run, every default filled in; a run file itself
//   architecture.yaml   model.safetensors   tokenizer.json   the model, as of the last checkpoint
//   checkpoints/        what the run can go on from
//   metrics.jsonl       loss.svg
import { copyFile, mkdir, readdir, readFile } from "node:fs/promises";
import { basename, join, relative, resolve, sep } from "node:path";
import { FileWriteError, writeTextAtomic } from "../../formats/node/atomic-file.ts";
import { ARCHITECTURE_FILE } from "../../model/files.ts";
import { specHash } from "../../model/hash.ts";
import { stringifySpec } from "../../spec/load.ts";
import type { RunConfig } from "../config.ts";
import { stringifyRun } from "../stringify.ts";
import { type LoadedRun, loadRunFile } from "./config.ts";

export const RUN_FILE = "run.yaml";
export const METRICS_FILE = "metrics.jsonl";
export const PLOT_FILE = "loss.svg";
export const CHECKPOINT_FOLDER = "checkpoints";
export const TOKENIZER_FILE = "tokenizer.json";
const TOKENIZER_CONFIG_FILE = "tokenizer_config.json";

/** A folder that can't be a run's, or is another run's. */
export class RunFolderError extends Error {
  override readonly name = "InputError";
}

/** Name of the folder of a run: its own, without what folders are not called. */
export function folderName(config: RunConfig): string {
  const safe = config.name.replace(/[^\p{L}\p{N}._-]+/gu, "-").replace(/^[.-]+/, "");
  return safe === "" ? "run" : safe;
}

/**
 * The folder for a run that names none, in `root`: `name`, or the first of `name-2`, `name-3`, … that is free; to go on
 * with a run, the last of these that holds one.
 */
export async function chooseFolder(root: string, config: RunConfig, resume: boolean): Promise<string> {
  const name = folderName(config);
  const at = (number: number): string => join(root, number === 1 ? name : `${name}-${number}`);
  let number = 1;
  while (!(await isFree(at(number)))) number++;
  return at(resume ? Math.max(1, number - 1) : number);
}

/** Whether nothing is there, or an empty folder. */
async function isFree(folder: string): Promise<boolean> {
  try {
    return (await readdir(folder)).length === 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return true;
    if ((error as NodeJS.ErrnoException).code === "ENOTDIR") return false;
    throw error;
  }
}

/**
 * Whether `folder` holds a run to go on with; false where it is free for a new one.
 * @throws RunFolderError when it holds something else or another run, or a run and `resume` is false.
 */
export async function checkFolder(folder: string, run: LoadedRun, resume: boolean): Promise<boolean> {
  if (await isFree(folder)) return false;
  await requireOwn(folder, run, resume);
  return true;
}

async function requireOwn(folder: string, run: LoadedRun, resume: boolean): Promise<void> {
  const names = await readdir(folder).catch(() => undefined);
  if (names === undefined) throw new RunFolderError(`${folder}: not a folder`);
  if (!names.includes(RUN_FILE)) {
    throw new RunFolderError(`${folder}: not empty, and without ${RUN_FILE}, so not a run's; choose another folder`);
  }
  if (!resume) {
    throw new RunFolderError(`${folder}: holds a run already; resume it, or choose another folder for a new one`);
  }
  const differences = await differencesBetween(loadRunFile(join(folder, RUN_FILE)), run);
  if (differences.length > 0) {
    throw new RunFolderError(`${folder}: holds another run: ${differences.join("; ")}; choose another folder`);
  }
}

/** What makes two runs different: not how long and how fast they learn, but what is learned by what. */
async function differencesBetween(there: LoadedRun, here: LoadedRun): Promise<string[]> {
  const [a, b] = [identityOf(there), identityOf(here)];
  const differences = Object.entries(a).flatMap(([field, value]) => {
    const other = b[field];
    return value === other ? [] : [`${field} is ${value} there and ${other} here`];
  });
  const [tokenizerThere, tokenizerHere] = await Promise.all([there, here].map(tokenizerText));
  if (tokenizerThere !== tokenizerHere) differences.push("its tokenizer is another one");
  return differences;
}

function identityOf({ config, directory }: LoadedRun): Record<string, string> {
  const { architecture, data, batch_size, sequence_length, accumulation, seed } = config;
  const at = (files: readonly string[]): string[] => files.map((file) => resolve(directory, file));
  const source =
    data.type === "task"
      ? { task: data.task.name, parameters: data.task.parameters }
      : {
          ...data,
          files: at(data.files),
          validation: "files" in data.validation ? { files: at(data.validation.files) } : data.validation,
        };
  const identity = {
    architecture: `${architecture.name} (hash ${specHash(architecture)})`,
    data: JSON.stringify(source),
    batch_size,
    sequence_length,
    accumulation,
    seed,
  };
  return Object.fromEntries(Object.entries(identity).map(([field, value]) => [field, String(value)]));
}

async function tokenizerText({ config, directory }: LoadedRun): Promise<string> {
  const file = tokenizerFile(config, directory);
  return file === undefined ? String(config.tokenizer) : await readFile(await insideFolder(file), "utf8");
}

/** Path of the run's tokenizer.json, or of the folder that holds it; undefined for bytes and tasks. */
function tokenizerFile({ tokenizer }: RunConfig, directory: string): string | undefined {
  return tokenizer === null || tokenizer === "bytes" ? undefined : resolve(directory, tokenizer);
}

async function insideFolder(path: string): Promise<string> {
  const names = await readdir(path).catch(() => undefined);
  return names === undefined ? path : join(path, TOKENIZER_FILE);
}

/** Makes `folder` the run's: writes run.yaml, the architecture and the tokenizer. */
export async function writeFolder(folder: string, { config, directory }: LoadedRun): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (cause) {
    throw new FileWriteError(folder, cause as NodeJS.ErrnoException);
  }
  const original = tokenizerFile(config, directory);
  if (original !== undefined) await copyTokenizer(await insideFolder(original), folder);
  const text = stringifyRun(config, {
    architecture: ARCHITECTURE_FILE,
    tokenizer: original === undefined ? config.tokenizer : TOKENIZER_FILE,
    file: (pattern) => relative(folder, resolve(directory, pattern)).split(sep).join("/"),
  });
  await writeTextAtomic(join(folder, ARCHITECTURE_FILE), stringifySpec(config.architecture));
  await writeTextAtomic(join(folder, RUN_FILE), `# The run as it was started, every default filled in.\n${text}`);
}

async function copyTokenizer(file: string, folder: string): Promise<void> {
  const configuration = join(file, "..", TOKENIZER_CONFIG_FILE);
  for (const source of [file, configuration]) {
    const target = join(folder, source === file ? TOKENIZER_FILE : basename(source));
    if (resolve(source) === resolve(target)) continue;
    await copyFile(source, target).catch((cause: NodeJS.ErrnoException) => {
      if (source === configuration && cause.code === "ENOENT") return;
      throw new FileWriteError(target, cause);
    });
  }
}
