// The tokenizer that belongs to a model on disk.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readTokenizer } from "../data/node/text-files.ts";
import { byteTokenizer, requireVocabulary, type Tokenizer } from "../data/tokenizer.ts";
import { ARCHITECTURE_FILE } from "../model/files.ts";
import { loadSpecFile } from "../spec/node/files.ts";
import { loadRunFile } from "../train/node/config.ts";
import { RUN_FILE, TOKENIZER_FILE } from "../train/node/run-folder.ts";
import { InputError } from "./program.ts";

/**
 * The tokenizer of a folder: `given` (bytes or a path), or its tokenizer.json, or bytes where the run or a vocabulary of
 * 256 says so.
 * @throws InputError for a model without one, DataError for one that does not fit `vocabSize`.
 */
export async function folderTokenizer(folder: string, vocabSize: number, given?: string): Promise<Tokenizer> {
  const tokenizer = await openTokenizer(folder, vocabSize, given);
  requireVocabulary(tokenizer, vocabSize, folder);
  return tokenizer;
}

async function openTokenizer(folder: string, vocabSize: number, given: string | undefined): Promise<Tokenizer> {
  if (given !== undefined) return given === "bytes" ? byteTokenizer() : readTokenizer(given);
  if (existsSync(join(folder, TOKENIZER_FILE))) return readTokenizer(join(folder, TOKENIZER_FILE));
  if (existsSync(join(folder, RUN_FILE))) {
    const { data, tokenizer } = loadRunFile(join(folder, RUN_FILE)).config;
    if (data.type === "task") {
      throw new InputError(`${folder}: trained on the task ${data.task.name}, whose tokens stand for no text`);
    }
    if (tokenizer === "bytes") return byteTokenizer();
  }
  if (vocabSize === 256) return byteTokenizer();
  throw new InputError(`${folder}: no ${TOKENIZER_FILE}; --tokenizer says how text becomes its ${vocabSize} tokens`);
}

/** Whether text becomes bytes for the model in a folder: it has no tokenizer, and its run or a vocabulary of 256 says so. */
export function readsBytes(folder: string): boolean {
  if (existsSync(join(folder, TOKENIZER_FILE))) return false;
  if (existsSync(join(folder, RUN_FILE))) {
    const { data, tokenizer } = loadRunFile(join(folder, RUN_FILE)).config;
    return data.type !== "task" && tokenizer === "bytes";
  }
  const file = join(folder, ARCHITECTURE_FILE);
  return existsSync(file) && loadSpecFile(file).vocab_size === 256;
}
