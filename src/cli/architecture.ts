// The architecture that a command is given: a file, a run file, or the folder of a saved model, a run or a Hugging Face
// checkpoint.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { convertConfig } from "../formats/huggingface/import.ts";
import { parseConfigJson } from "../formats/huggingface/json.ts";
import { CONFIG_FILE, nameOf } from "../formats/huggingface/node/folder.ts";
import { ARCHITECTURE_FILE } from "../model/files.ts";
import { type Diagnostic, SpecError } from "../spec/diagnostic.ts";
import { checkSpecFile } from "../spec/node/files.ts";
import { nearest } from "../spec/suggest.ts";
import type { ArchitectureSpec } from "../spec/types.ts";
import { checkRunFile } from "../train/node/config.ts";
import { InputError } from "./program.ts";

/** Where folders of saved models and of runs keep their architecture. */
const PLACES = [ARCHITECTURE_FILE, join("model", ARCHITECTURE_FILE)];

/**
 * Reads the architecture that `path` stands for.
 * @throws SpecError or HuggingFaceError with everything that is wrong with a file, InputError for a folder without an architecture.
 */
export function openArchitecture(path: string): ArchitectureSpec {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status === undefined) throw new InputError(`${path}: no such file or folder${nearestFile(path)}`);
  if (!status.isDirectory()) return openFile(path);
  const file = PLACES.map((place) => join(path, place)).find((candidate) => existsSync(candidate));
  const config = join(path, CONFIG_FILE);
  if (file === undefined && existsSync(config)) {
    return convertConfig(parseConfigJson(readFileSync(config, "utf8"), config), config, { name: nameOf(path) }).spec;
  }
  if (file === undefined) {
    const specs = readdirSync(path).filter((name) => /\.ya?ml$/.test(name));
    const hint =
      specs.length === 0
        ? ""
        : `; it has ${specs
            .slice(0, 4)
            .map((name) => join(path, name))
            .join(", ")}`;
    throw new InputError(
      `${path}: a folder without ${ARCHITECTURE_FILE}, so neither a saved model nor a run, and without ${CONFIG_FILE}, so no Hugging Face checkpoint${hint}`,
    );
  }
  return openFile(file);
}

function openFile(path: string): ArchitectureSpec {
  const asSpec = checkSpecFile(path);
  if (asSpec.spec !== undefined) return asSpec.spec;
  const asRun = checkRunFile(path);
  if (asRun.config !== undefined) return asRun.config.architecture;
  throw new SpecError(isRunFile(asSpec.diagnostics) ? asRun.diagnostics : asSpec.diagnostics);
}

/** Whether what is wrong with a file as an architecture is that it has the fields of a run. */
function isRunFile(diagnostics: readonly Diagnostic[]): boolean {
  return ["architecture", "data"].every((field) =>
    diagnostics.some(({ path, message }) => path === field || message.includes(`"${field}"`)),
  );
}

/** `; did you mean "architectures/mamba.yaml"?`: the file of nearest name beside it or in architectures/. */
function nearestFile(path: string): string {
  const stem = (file: string): string => basename(file).replace(/\.ya?ml$/, "");
  const files = [dirname(path), "architectures"].flatMap((folder) =>
    existsSync(folder)
      ? readdirSync(folder)
          .filter((name) => /\.ya?ml$/.test(name))
          .map((name) => join(folder, name))
      : [],
  );
  const name = nearest(stem(path), files.map(stem));
  const file = files.find((candidate) => stem(candidate) === name);
  return file === undefined ? "" : `; did you mean "${file}"?`;
}
