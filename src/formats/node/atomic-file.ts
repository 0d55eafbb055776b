// Replaces a file whole or not at all: whoever reads it, and whatever kills the writer or fills the disk, finds
// either the old content or the new, never a part.
import { randomBytes } from "node:crypto";
import { type FileHandle, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { ByteSink } from "../safetensors/source.ts";

/** A file that could not be written; what was there before is untouched. */
export class FileWriteError extends Error {
  override readonly name = "FileWriteError";
  readonly path: string;
  /** The system's code, such as ENOSPC. */
  readonly code: string | undefined;

  constructor(path: string, cause: NodeJS.ErrnoException) {
    const reasons: Record<string, string> = {
      ENOSPC: "no space left on the disk",
      EDQUOT: "the disk quota is used up",
      EFBIG: "the file would be larger than allowed",
      EACCES: "permission denied",
      EROFS: "the file system is read-only",
      ENOENT: "the folder does not exist",
      EISDIR: "it is a folder",
    };
    const reason = reasons[cause.code ?? ""] ?? cause.message;
    super(`${path}: cannot be written: ${reason}; what was there before is untouched`, { cause });
    this.path = path;
    this.code = cause.code;
  }
}

const TEMPORARY = /^\.(.+)\.([0-9]+)-[0-9a-f]{12}\.tmp$/;

/**
 * Writes `path` through `write`, which gets a sink. The bytes go to a hidden temporary file beside it, are forced to
 * the disk, and take the place of `path` in one step when all is there. On any error the temporary file is removed.
 * Throws {@link FileWriteError} for what the system refuses, and whatever `write` throws.
 */
export async function writeFileAtomic(path: string, write: (sink: ByteSink) => Promise<void>): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}-${randomBytes(6).toString("hex")}.tmp`);
  try {
    // An exclusive name: two writers never share a temporary file.
    const handle = await open(temporary, "wx");
    try {
      await write({ write: (bytes) => writeAll(handle, bytes) });
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw isSystemError(error) ? new FileWriteError(path, error) : error;
  }
}

/** Writes a text file as {@link writeFileAtomic}. */
export async function writeTextAtomic(path: string, text: string): Promise<void> {
  await writeFileAtomic(path, (sink) => sink.write(new TextEncoder().encode(text)));
}

/** Removes temporary files that killed writers left in `directory`; those of processes still alive stay. */
export async function removeStaleTemporaryFiles(directory: string): Promise<void> {
  for (const entry of await readdir(directory)) {
    const pid = TEMPORARY.exec(entry)?.[2];
    if (pid !== undefined && !isAlive(Number(pid))) await rm(join(directory, entry), { force: true });
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  let done = 0;
  while (done < bytes.byteLength) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.byteLength - done);
    done += bytesWritten;
  }
}

/** Makes a rename durable. Some systems cannot open or sync a folder; there the rename is as durable as it gets. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r").catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return isSystemError(error) && error.code === "EPERM";
  }
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).code === "string" && "syscall" in error;
}
