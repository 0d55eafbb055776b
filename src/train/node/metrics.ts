// metrics.jsonl on disk: appended record by record, cut back when a run goes on from an earlier step.
import { type FileHandle, open, readFile } from "node:fs/promises";
import { FileWriteError } from "../../formats/node/atomic-file.ts";
import { formatMetrics, type MetricsRecord, type ParsedMetrics, parseMetrics } from "../metrics.ts";

/** Appends records to a file. */
export interface MetricsWriter {
  append(record: MetricsRecord): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens a metrics file to go on after `step`: what it holds of later steps, or of a line cut short, is cut off. With
 * step 0 it begins anew. Throws FileWriteError or MetricsError.
 */
export async function openMetrics(path: string, step = 0): Promise<MetricsWriter> {
  const { kept, text } = await recordsUpTo(path, step);
  let handle: FileHandle;
  try {
    handle = await open(path, "a");
    await handle.truncate(new TextEncoder().encode(text.slice(0, kept)).byteLength);
  } catch (error) {
    throw new FileWriteError(path, error as NodeJS.ErrnoException);
  }
  return {
    append: async (record) => {
      try {
        await handle.appendFile(formatMetrics(record));
      } catch (error) {
        throw new FileWriteError(path, error as NodeJS.ErrnoException);
      }
    },
    close: () => handle.close(),
  };
}

/** All records of a metrics file; none where there is no file. */
export async function readMetrics(path: string): Promise<MetricsRecord[]> {
  return parseMetrics(await readText(path), path).records;
}

async function recordsUpTo(path: string, step: number): Promise<{ kept: number; text: string }> {
  const text = await readText(path);
  const { records, ends }: ParsedMetrics = step === 0 ? { records: [], ends: [] } : parseMetrics(text, path);
  const later = records.findIndex((record) => record.step > step);
  const count = later < 0 ? records.length : later;
  return { kept: ends[count - 1] ?? 0, text };
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
