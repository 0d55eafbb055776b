// The data of a run from the files that its configuration names.
import { resolve } from "node:path";
import { readJsonlFiles, readTextFiles, readTokenizer } from "../../data/node/text-files.ts";
import { byteTokenizer } from "../../data/tokenizer.ts";
import type { RunConfig } from "../config.ts";
import { type RunData, taskRunData, textRunData } from "../data.ts";

/**
 * Reads what a run trains on. Throws DataError naming the file and what is wrong with it.
 *
 * @param directory folder of the run file, which its paths are relative to
 */
export async function openRunData(config: RunConfig, directory: string): Promise<RunData> {
  const { data } = config;
  if (data.type === "task") return taskRunData(config, data);
  const tokenizer =
    config.tokenizer === null || config.tokenizer === "bytes"
      ? byteTokenizer()
      : await readTokenizer(resolve(directory, config.tokenizer));
  const read = (files: readonly string[]) =>
    data.type === "jsonl" ? readJsonlFiles(files, directory, data.field) : readTextFiles(files, directory);
  const documents = await read(data.files);
  if (!("files" in data.validation)) return textRunData(config, data, { tokenizer, documents });
  const validation = await read(data.validation.files);
  // A glob of training files may take in the held-out ones; nothing may be in both.
  const heldOut = new Set(validation.map(({ name }) => name));
  const training = documents.filter(({ name }) => !heldOut.has(name));
  return textRunData(config, data, { tokenizer, documents: training, validation });
}
