// Text and JSONL documents from files, named by paths and globs.
import { readFile, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { glob } from "tinyglobby";
import { DataError } from "../error.ts";
import { parseJsonl } from "../jsonl.ts";
import type { Document } from "../text.ts";
import { huggingFaceTokenizer, type Tokenizer } from "../tokenizer.ts";

/**
 * Files that `patterns` name, relative to `directory`: paths, folders (all files within) and globs. Sorted and without
 * repeats, so that the order does not depend on the file system. Throws {@link DataError} for a pattern without files.
 */
export async function findFiles(patterns: readonly string[], directory: string): Promise<string[]> {
  const found = new Set<string>();
  for (const pattern of patterns) {
    const files = await filesOf(pattern, directory);
    if (files.length === 0) throw new DataError(`"${pattern}" matches no file in ${directory}`);
    for (const file of files) found.add(file);
  }
  return [...found].sort();
}

async function filesOf(pattern: string, directory: string): Promise<string[]> {
  // A path that exists is that file, even where it holds characters that mean something in a glob.
  const literal = await stat(resolve(directory, pattern)).catch(() => undefined);
  if (literal?.isFile()) return [resolve(directory, pattern)];
  const expression = literal?.isDirectory() ? `${pattern.replace(/\/+$/, "")}/**` : pattern;
  return (await glob(expression, { cwd: directory, absolute: true })).map((path) => resolve(path));
}

/** The documents of text files: one each, as bytes. Errors as {@link findFiles}, and for files that cannot be read. */
export async function readTextFiles(patterns: readonly string[], directory: string): Promise<Document[]> {
  const documents: Document[] = [];
  for (const file of await findFiles(patterns, directory)) {
    documents.push({ name: file, text: await readBytes(file) });
  }
  return documents;
}

/** The documents of JSONL files: one a line, from `field`. Errors as {@link findFiles} and for bad lines. */
export async function readJsonlFiles(
  patterns: readonly string[],
  directory: string,
  field: string,
): Promise<Document[]> {
  const documents: Document[] = [];
  for (const file of await findFiles(patterns, directory)) {
    for (const document of parseJsonl(await readBytes(file), file, field)) documents.push(document);
  }
  return documents;
}

/**
 * A Hugging Face tokenizer from a `tokenizer.json`, or from a folder that holds one; `tokenizer_config.json` beside it
 * is read where it exists. Throws {@link DataError}.
 */
export async function readTokenizer(path: string): Promise<Tokenizer> {
  const isDirectory = (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
  const file = isDirectory ? resolve(path, "tokenizer.json") : path;
  const configuration = resolve(file, "..", "tokenizer_config.json");
  const hasConfiguration = (await stat(configuration).catch(() => undefined))?.isFile() ?? false;
  return huggingFaceTokenizer(await readJson(file), hasConfiguration ? await readJson(configuration) : {}, file);
}

async function readJson(file: string): Promise<unknown> {
  const text = new TextDecoder().decode(await readBytes(file));
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DataError(`${file}: not valid JSON (${cause instanceof Error ? cause.message : cause})`, { cause });
  }
}

async function readBytes(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (cause) {
    const reasons: Record<string, string> = {
      ENOENT: "no such file",
      EACCES: "permission denied",
      EISDIR: "it is a folder",
      ERR_FS_FILE_TOO_LARGE: "it is over 2 GiB",
    };
    const code = (cause as NodeJS.ErrnoException).code ?? "";
    throw new DataError(`${file}: cannot be read: ${reasons[code] ?? (code || String(cause))}`, { cause });
  }
}
