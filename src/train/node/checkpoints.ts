// A folder of checkpoints on disk. Each is one file that appears whole or not at all, so the newest that reads well is
// always the one to go on from, whatever happened to the run that wrote it.
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { FileWriteError, removeStaleTemporaryFiles } from "../../formats/node/atomic-file.ts";
import { SafetensorsError } from "../../formats/safetensors/index.ts";
import { withSafetensorsFile, writeSafetensorsFile } from "../../formats/safetensors/node/file.ts";
import { type Checkpoint, CheckpointError, decodeCheckpoint, encodeCheckpoint } from "../checkpoint.ts";

/** A checkpoint file. */
export interface CheckpointFile {
  step: number;
  path: string;
}

const FILE_NAME = /^step-(\d{8,})\.safetensors$/;

/** Checkpoint files in a folder, newest first; none where there is no folder. */
export async function listCheckpoints(directory: string): Promise<CheckpointFile[]> {
  let entries: string[];
  try {
    entries = await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  const files = entries.flatMap((entry) => {
    const step = FILE_NAME.exec(entry)?.[1];
    return step === undefined ? [] : [{ step: Number(step), path: join(directory, entry) }];
  });
  return files.sort((a, b) => b.step - a.step);
}

/**
 * Writes a checkpoint, and only when it is safely on the disk removes all but the newest `keep`. A full disk leaves
 * the folder as it was and throws FileWriteError. Returns the path.
 */
export async function saveCheckpoint(directory: string, checkpoint: Checkpoint, keep = 2): Promise<string> {
  if (!Number.isSafeInteger(keep) || keep < 1) throw new RangeError(`cannot keep ${keep} checkpoints; at least 1`);
  try {
    await mkdir(directory, { recursive: true });
  } catch (cause) {
    throw new FileWriteError(directory, cause as NodeJS.ErrnoException);
  }
  await removeStaleTemporaryFiles(directory);
  const path = join(directory, `step-${String(checkpoint.step).padStart(8, "0")}.safetensors`);
  const { tensors, metadata } = encodeCheckpoint(checkpoint);
  await writeSafetensorsFile(path, tensors, metadata);
  // Files of later steps belong to an abandoned continuation: this one is now the newest.
  for (const file of await listCheckpoints(directory))
    if (file.step > checkpoint.step) await rm(file.path, { force: true });
  for (const file of (await listCheckpoints(directory)).slice(keep)) await rm(file.path, { force: true });
  return path;
}

/** Reads one checkpoint file. Throws CheckpointError or SafetensorsError. */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  return withSafetensorsFile(path, decodeCheckpoint);
}

/** What {@link readLatest} found. */
export interface LatestCheckpoint {
  checkpoint: Checkpoint;
  path: string;
  /** Newer files that could not be read, and why: worth a warning. */
  damaged: { path: string; reason: string }[];
}

/**
 * The newest checkpoint of a folder that reads well; undefined where the folder has none. Throws
 * {@link CheckpointError} with every reason where there are some and none can be read.
 */
export async function readLatest(directory: string): Promise<LatestCheckpoint | undefined> {
  const damaged: { path: string; reason: string }[] = [];
  for (const { path } of await listCheckpoints(directory)) {
    try {
      return { checkpoint: await readCheckpoint(path), path, damaged };
    } catch (error) {
      if (!(error instanceof SafetensorsError || error instanceof CheckpointError)) throw error;
      damaged.push({ path, reason: error.message });
    }
  }
  if (damaged.length === 0) return undefined;
  const reasons = damaged.map(({ reason }) => `\n  ${reason}`).join("");
  throw new CheckpointError(`${directory}: no checkpoint can be read:${reasons}`);
}
