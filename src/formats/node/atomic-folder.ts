// Makes a folder whole or not at all: files are written into a hidden one beside it, which takes its name when all is there.
import { randomBytes } from "node:crypto";
import { mkdir, readdir, rename, rm, rmdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { FileWriteError } from "./atomic-file.ts";

/** A folder that is there already, so that nothing was written. */
export class FolderExistsError extends Error {
  override readonly name = "FolderExistsError";

  constructor(path: string) {
    super(`${path}: is there already; give another name, or remove it first`);
  }
}

/**
 * Makes the folder `path` with what `write` puts into the folder that it is given. An empty folder of this name is replaced.
 * On any error nothing is left behind.
 * @throws FolderExistsError where there is something of this name, FileWriteError for what the system refuses, and whatever
 * `write` throws
 */
export async function makeFolderAtomic<T>(path: string, write: (folder: string) => Promise<T>): Promise<T> {
  const target = resolve(path);
  await requireFree(target, path);
  const temporary = join(dirname(target), `.${basename(target)}.${process.pid}-${randomBytes(6).toString("hex")}.tmp`);
  try {
    await mkdir(temporary, { recursive: true });
    const result = await write(temporary);
    await rmdir(target).catch(() => undefined);
    await rename(temporary, target);
    return result;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    if (error instanceof Error && "syscall" in error) throw new FileWriteError(path, error as NodeJS.ErrnoException);
    throw error;
  }
}

async function requireFree(target: string, path: string): Promise<void> {
  let entries: string[];
  try {
    entries = await readdir(target);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw new FolderExistsError(path);
  }
  if (entries.length > 0) throw new FolderExistsError(path);
}
