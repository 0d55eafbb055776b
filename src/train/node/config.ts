// Run files from disk. What they name is looked for next to them.
import { readFileSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import { diagnosticOfFile, SpecError } from "../../spec/diagnostic.ts";
import { resolveFromDisk } from "../../spec/node/files.ts";
import { checkRun, type RunCheck, type RunConfig } from "../config.ts";

/** A run file's configuration and the folder that its paths are relative to. */
export interface LoadedRun {
  config: RunConfig;
  directory: string;
}

/** Reads and checks a run file. Never throws: a file that cannot be read is a diagnostic like any other. */
export function checkRunFile(path: string): RunCheck {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const reasons: Record<string, string> = {
      ENOENT: "no such file",
      EISDIR: "it is a folder",
      EACCES: "no permission to read it",
      ERR_ENCODING_INVALID_ENCODED_DATA: "it is not UTF-8 text",
    };
    const message = `cannot be read: ${reasons[code ?? ""] ?? code ?? String(error)}`;
    return { config: undefined, diagnostics: [diagnosticOfFile(path, { message })] };
  }
  const near = relative(process.cwd(), resolve(path));
  return checkRun(text, { file: near.startsWith("..") ? resolve(path) : near, resolve: resolveFromDisk });
}

/** The run in a file. Throws SpecError with every error. */
export function loadRunFile(path: string): LoadedRun {
  const { config, diagnostics } = checkRunFile(path);
  if (config === undefined) throw new SpecError(diagnostics);
  return { config, directory: dirname(resolve(path)) };
}
