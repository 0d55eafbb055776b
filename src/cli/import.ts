// hybraid import DIR: a Hugging Face checkpoint as an architecture that can be read and changed, with its weights.
import { statSync } from "node:fs";
import { relative } from "node:path";
import { type Command, Option } from "commander";
import { nameOf } from "../formats/huggingface/node/folder.ts";
import type { FloatDtype } from "../formats/safetensors/index.ts";
import { ARCHITECTURE_FILE } from "../model/files.ts";
import { importFolder } from "../model/node/huggingface.ts";
import { patternOf } from "../spec/compress.ts";
import { InputError } from "./program.ts";
import { commandName, shellQuote } from "./self.ts";

/** Types of weights by their names on the command line. */
export const FILE_DTYPES: Readonly<Record<string, FloatDtype>> = { f32: "F32", f16: "F16", bf16: "BF16" };

interface ImportCommandOptions {
  readonly out?: string;
  readonly dtype?: string;
  readonly ignoreField?: readonly string[];
  readonly json?: boolean;
}

/** Adds the command to the program. */
export function register(program: Command): void {
  program
    .command("import")
    .description("turn a Hugging Face checkpoint into an architecture file with weights")
    .argument("<folder>", "folder with config.json and model.safetensors (or several files with an index)")
    .option("-o, --out <folder>", "where to; must not be there yet; default: models/NAME")
    .addOption(
      new Option("--dtype <type>", "type of the weights on disk; default: each as it is stored").choices(
        Object.keys(FILE_DTYPES),
      ),
    )
    .option("--ignore-field <names...>", "fields of config.json to overlook although their meaning is not known")
    .option("--json", "print one JSON object")
    .action((folder: string, options: ImportCommandOptions) => run(folder, options));
}

async function run(
  folder: string,
  { out, dtype, ignoreField = [], json = false }: ImportCommandOptions,
): Promise<void> {
  const status = statSync(folder, { throwIfNoEntry: false });
  if (status === undefined) throw new InputError(`${folder}: no such folder`);
  if (!status.isDirectory()) throw new InputError(`${folder}: not a folder; give the one that config.json is in`);
  const name = nameOf(out ?? folder);
  const target = out ?? `models/${name}`;
  const start = performance.now();
  const fileDtype = dtype === undefined ? undefined : FILE_DTYPES[dtype];
  const { imported, textFiles } = await importFolder(folder, target, {
    name,
    ignoreFields: ignoreField,
    dtype: fileDtype,
  });
  const seconds = (performance.now() - start) / 1000;
  const parameters = [...imported.shapes.values()].reduce((sum, shape) => sum + shape.reduce((n, d) => n * d, 1), 0);
  const report = {
    model_type: imported.modelType,
    out: target,
    parameters,
    tensors: imported.shapes.size,
    layers: patternOf(imported.spec.layers),
    ignored: imported.ignored,
    text_files: textFiles,
    seconds,
  };
  if (json) {
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
    return;
  }
  const lines = [
    `${folder}: ${report.model_type}, ${parameters.toLocaleString("en")} parameters, layers ${report.layers}`,
    ...imported.ignored.slice(0, 8).map(({ tensor, reason }) => `  left out: ${tensor} (${reason})`),
    ...(imported.ignored.length > 8 ? [`  … and ${imported.ignored.length - 8} more; --json lists all`] : []),
    `written to ${target} in ${seconds.toFixed(1)} s: ${[ARCHITECTURE_FILE, "model.safetensors", ...textFiles].join(", ")}`,
    `next: ${commandName()} inspect ${shellQuote(relative(process.cwd(), target) || ".")}`,
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}
