// Architectures from disk. `extends` is looked for next to the file that says it.
import { readFileSync, statSync } from "node:fs";
import { dirname, relative, resolve as resolvePath } from "node:path";
import { diagnosticOfFile, SpecError } from "../diagnostic.ts";
import type { FoundFile } from "../extends.ts";
import { type CheckResult, checkSpec } from "../load.ts";
import { MAX_TEXT } from "../read.ts";
import type { ArchitectureSpec } from "../types.ts";

/** Reads and checks an architecture file. Never throws: a file that cannot be read is a diagnostic like any other. */
export function checkSpecFile(path: string): CheckResult {
  let found: FoundFile;
  try {
    found = readSpecText(resolvePath(path));
  } catch (error) {
    const message = `cannot be read: ${messageOf(error)}`;
    return { spec: undefined, diagnostics: [diagnosticOfFile(path, { message })] };
  }
  return checkSpec(found.text, { file: found.file, resolve: resolveFromDisk });
}

/** The architecture in a file, fully resolved. Throws SpecError with every error. */
export function loadSpecFile(path: string): ArchitectureSpec {
  const { spec, diagnostics } = checkSpecFile(path);
  if (spec === undefined) throw new SpecError(diagnostics);
  return spec;
}

/** Finds what `from` extends: a path relative to its folder. */
export function resolveFromDisk(reference: string, from: string): FoundFile {
  return readSpecText(resolvePath(dirname(from), reference));
}

/** The text at an absolute path, named as the user would: relative to the working directory if it lies within. */
function readSpecText(path: string): FoundFile {
  let bytes: Uint8Array;
  try {
    const status = statSync(path);
    if (status.isDirectory()) throw new Error("it is a folder");
    if (!status.isFile()) throw new Error("it is not a file");
    if (status.size > 4 * MAX_TEXT) throw new Error(`it is larger than ${4 * MAX_TEXT} bytes`);
    bytes = readFileSync(path);
  } catch (error) {
    throw new Error(reasonOf(error));
  }
  const near = relative(process.cwd(), path);
  return { file: near.startsWith("..") ? path : near, text: decode(bytes) };
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Error("it is not UTF-8 text");
  }
}

const REASONS: ReadonlyMap<string, string> = new Map([
  ["ENOENT", "no such file"],
  ["EACCES", "no permission to read it"],
  ["EPERM", "no permission to read it"],
  ["ENOTDIR", "part of its path is not a folder"],
  ["ELOOP", "too many symbolic links"],
  ["ENAMETOOLONG", "the name is too long"],
  ["EISDIR", "it is a folder"],
]);

function reasonOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return REASONS.get(code) ?? messageOf(error);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
