// Safetensors files on disk: read lazily, written atomically.
import { type FileHandle, open } from "node:fs/promises";
import { writeFileAtomic } from "../../node/atomic-file.ts";
import { SafetensorsError } from "../error.ts";
import { openSafetensors, type Safetensors } from "../reader.ts";
import type { RandomAccessSource } from "../source.ts";
import { type TensorToWrite, writeSafetensors } from "../writer.ts";

/** A source over a file, open until `close`. */
export interface FileSource extends RandomAccessSource {
  close(): Promise<void>;
}

/** Largest single read, in bytes: the system's own limit is near 2 GiB. */
const READ_LIMIT = 1 << 30;

/** Opens a file as a source. Throws {@link SafetensorsError} when there is none or it cannot be read. */
export async function fileSource(path: string): Promise<FileSource> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, "r");
    const stat = await handle.stat();
    if (stat.isFile()) return sourceOf(handle, path, stat.size);
  } catch (cause) {
    await handle?.close();
    const code = (cause as NodeJS.ErrnoException).code;
    const problem = code === "ENOENT" ? "no such file" : `cannot be read (${code ?? cause})`;
    throw new SafetensorsError(path, problem, { cause });
  }
  await handle.close();
  throw new SafetensorsError(path, "not a file");
}

function sourceOf(handle: FileHandle, path: string, size: number): FileSource {
  const read = async (offset: number, length: number): Promise<Uint8Array> => {
    const bytes = new Uint8Array(Math.max(0, Math.min(length, size - offset)));
    let done = 0;
    while (done < bytes.byteLength) {
      const wanted = Math.min(READ_LIMIT, bytes.byteLength - done);
      const { bytesRead } = await handle.read(bytes, done, wanted, offset + done);
      if (bytesRead === 0) return bytes.subarray(0, done);
      done += bytesRead;
    }
    return bytes;
  };
  return { name: path, size, read, close: () => handle.close() };
}

/**
 * Opens a safetensors file for the time that `use` takes and closes it afterwards.
 * Throws {@link SafetensorsError}, and whatever `use` throws.
 */
export async function withSafetensorsFile<T>(path: string, use: (file: Safetensors) => Promise<T>): Promise<T> {
  const source = await fileSource(path);
  try {
    return await use(await openSafetensors(source));
  } finally {
    await source.close();
  }
}

/**
 * Writes a safetensors file, whole or not at all. Tensors given as functions are made and written piece by piece.
 * Throws {@link SafetensorsError} for tensors at odds with themselves, FileWriteError where the system refuses.
 */
export async function writeSafetensorsFile(
  path: string,
  tensors: Iterable<TensorToWrite>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeFileAtomic(path, (sink) => writeSafetensors(sink, tensors, metadata, path));
}
