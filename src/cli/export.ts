// hybraid export MODEL --format huggingface: a model as a folder that transformers opens.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Command, Option } from "commander";
import { chooseFamily } from "../formats/huggingface/export.ts";
import { ARCHITECTURE_FILE } from "../model/files.ts";
import { exportFolder, originalConfig } from "../model/node/huggingface.ts";
import { loadSpecFile } from "../spec/node/files.ts";
import { FILE_DTYPES } from "./import.ts";
import { InputError } from "./program.ts";

interface ExportCommandOptions {
  readonly format: string;
  readonly out: string;
  readonly family?: string;
  readonly dtype?: string;
  readonly maxShardSize: number;
  readonly json?: boolean;
}

const UNITS: Readonly<Record<string, number>> = { kb: 1e3, mb: 1e6, gb: 1e9, kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30 };

/** Adds the command to the program. */
export function register(program: Command): void {
  program
    .command("export")
    .description("write a model in another program's format")
    .argument("<model>", "folder of a run, of a saved model or of an imported one")
    .addOption(new Option("--format <name>", "whose").choices(["huggingface"]).makeOptionMandatory())
    .requiredOption("-o, --out <folder>", "where to; must not be there yet")
    .option("--family <name>", "model_type to write; default: the one it was imported from, or the first that fits")
    .addOption(
      new Option("--dtype <type>", "type of the weights; default: as they are").choices(Object.keys(FILE_DTYPES)),
    )
    .addOption(
      new Option("--max-shard-size <size>", "most bytes of one file, such as 500MB or 5GB")
        .argParser(size)
        .default(5e9, "5GB"),
    )
    .option("--json", "print one JSON object")
    .action((folder: string, options: ExportCommandOptions) => run(folder, options));
}

/** Bytes of `5GB`, `500MB`, `1GiB`. */
function size(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmg]i?b)$/i.exec(text);
  const unit = UNITS[match?.[2]?.toLowerCase() ?? ""];
  if (match === null || unit === undefined || Number(match[1]) <= 0) {
    throw new InputError(`--max-shard-size: "${text}" is no size; allowed: a number with KB, MB, GB, KiB, MiB or GiB`);
  }
  return Number(match[1]) * unit;
}

async function run(folder: string, options: ExportCommandOptions): Promise<void> {
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
    maxShardBytes: options.maxShardSize,
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
