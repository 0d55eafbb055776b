// hybraid export MODEL --format huggingface: a model as a folder that transformers opens.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { chooseFamily } from "../formats/huggingface/export.ts";
import { ARCHITECTURE_FILE } from "../model/files.ts";
import { exportFolder, originalConfig } from "../model/node/huggingface.ts";
import { loadSpecFile } from "../spec/node/files.ts";
import { FILE_DTYPES } from "./import.ts";
import { InputError } from "./program.ts";

export interface HuggingFaceExportOptions {
  readonly out: string;
  readonly family?: string;
  readonly dtype?: string;
  readonly maxShardSize?: number;
  readonly json?: boolean;
}

/** Writes the folder and says what is in it. */
export async function exportHuggingFace(folder: string, options: HuggingFaceExportOptions): Promise<void> {
  const file = join(folder, ARCHITECTURE_FILE);
  if (!existsSync(file)) throw new InputError(`${folder}: no ${ARCHITECTURE_FILE}, so not the folder of a model`);
  const spec = loadSpecFile(file);
  const original = await originalConfig(folder);
  const imported = typeof original?.model_type === "string" ? original.model_type : undefined;
  const fit = chooseFamily(spec, options.family ?? preferred(imported, () => chooseFamily(spec, imported)));
  const dtype = options.dtype === undefined ? undefined : FILE_DTYPES[options.dtype];
  const same = imported !== undefined && fit.family.modelTypes.includes(imported);
  const { written, textFiles } = await exportFolder(folder, options.out, spec, fit, {
    dtype,
    maxShardBytes: options.maxShardSize ?? 5e9,
    original: same ? original : undefined,
  });
  const report = {
    model_type: fit.family.modelTypes[0],
    architecture: fit.family.architecture,
    out: options.out,
    tensors: written.tensors,
    bytes: written.bytes,
    files: written.files.map(({ name }) => name),
    text_files: textFiles,
  };
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
    return;
  }
  const text = textFiles.length === 0 ? "no tokenizer files: the model has none" : textFiles.join(", ");
  process.stdout.write(
    `${options.out}: ${report.architecture}, ${written.tensors} tensors, ${written.bytes.toLocaleString("en")} bytes in ${
      report.files.length === 1 ? report.files[0] : `${report.files.length} files`
    }; ${text}\n`,
  );
}

/** `family` where the architecture still fits it, undefined otherwise. */
function preferred(family: string | undefined, attempt: () => unknown): string | undefined {
  if (family === undefined) return undefined;
  try {
    attempt();
    return family;
  } catch {
    return undefined;
  }
}
