// hybraid export MODEL --format F: a model in another program's format. What each format does is in a file of its own.
import { type Command, InvalidArgumentError, Option } from "commander";
import { dialects } from "../formats/onnx/lowering.ts";
import { exportHuggingFace } from "./export-huggingface.ts";
import { listOnnx } from "./export-list.ts";
import { exportOnnxModel } from "./export-onnx.ts";
import { exportTraining } from "./export-training.ts";
import { FILE_DTYPES } from "./import.ts";
import { InputError } from "./program.ts";

/** Options that mean something for one format only, by their names in `ExportCommandOptions`. */
const OPTIONS_OF = {
  huggingface: ["family", "maxShardSize"],
  onnx: ["dialect", "logits", "quantize", "block", "asymmetric", "name", "training", "verify"],
} as const;
type Format = keyof typeof OPTIONS_OF;

interface ExportCommandOptions {
  readonly format?: Format;
  readonly out?: string;
  readonly list?: boolean;
  readonly family?: string;
  readonly dtype?: string;
  readonly maxShardSize?: number;
  readonly dialect?: (typeof dialects)[number];
  readonly logits?: "all" | "last";
  readonly quantize?: "int8" | "int4";
  readonly block?: number;
  readonly asymmetric?: boolean;
  readonly name?: string;
  readonly training?: boolean;
  readonly verify?: boolean;
  readonly json?: boolean;
}

const UNITS: Readonly<Record<string, number>> = { kb: 1e3, mb: 1e6, gb: 1e9, kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30 };

/** Adds the command to the program. */
export function register(program: Command): void {
  program
    .command("export")
    .description("write a model in another program's format")
    .argument("[model]", "folder of a run, of a saved model, of an imported one or (onnx) of a Hugging Face checkpoint")
    .addOption(new Option("--format <name>", "whose").choices(Object.keys(OPTIONS_OF)))
    .option("-o, --out <folder>", "where to; must not be there yet (onnx: or be an export of the same model)")
    .option("--list", "show what can be exported to ONNX and what of it was verified")
    .option(
      "--family <name>",
      "huggingface: model_type to write; default: what it was imported from, or the first that fits",
    )
    .addOption(
      new Option(
        "--dtype <type>",
        "type of the weights; default: as they are (huggingface), f32 (onnx, which has no bf16)",
      ).choices(Object.keys(FILE_DTYPES)),
    )
    .addOption(
      new Option(
        "--max-shard-size <size>",
        "huggingface: most bytes of one file, such as 500MB; default 5GB",
      ).argParser(size),
    )
    .addOption(new Option("--dialect <name>", "onnx: which operators; default ort, see --list").choices([...dialects]))
    .addOption(
      new Option("--logits <which>", "onnx: of all positions (default), or only the last").choices(["all", "last"]),
    )
    .addOption(
      new Option("--quantize <type>", "onnx: matrices as blocks of small numbers with a scale each").choices([
        "int8",
        "int4",
      ]),
    )
    .addOption(
      new Option("--block <n>", "onnx: numbers in a block: 16, 32, 64, 128 or 256; default 32").argParser(blockSize),
    )
    .option("--asymmetric", "onnx: each block has a zero point as well as a scale")
    .option("--name <name>", "onnx: name of the graph's file, without .onnx; default model")
    .option(
      "--training",
      "onnx: loss and gradients in one graph, with the weights as its inputs (dialect portable, f32)",
    )
    .option("--no-verify", "onnx: write it without having onnxruntime compute what this program does")
    .option("--json", "print one JSON object")
    .action((folder: string | undefined, options: ExportCommandOptions, command: Command) =>
      run(folder, options, command),
    );
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

/** Numbers in a quantised block. */
function blockSize(text: string): number {
  const size = Number(text);
  if (![16, 32, 64, 128, 256].includes(size))
    throw new InvalidArgumentError(`"${text}" is not allowed; allowed: 16, 32, 64, 128, 256.`);
  return size;
}

const flagOf = (command: Command, attribute: string): string =>
  command.options.find((option) => option.attributeName() === attribute)?.long ?? attribute;

async function run(folder: string | undefined, options: ExportCommandOptions, command: Command): Promise<void> {
  const { format, out, list } = options;
  if (list) return listOnnx(options.json === true);
  const usage = (problem: string): never => command.error(`error: ${problem}`, { exitCode: 2 });
  if (folder === undefined) return usage("missing required argument 'model'");
  if (format === undefined) return usage("required option '--format <name>' not specified");
  if (out === undefined) return usage("required option '-o, --out <folder>' not specified");
  for (const [other, names] of Object.entries(OPTIONS_OF)) {
    const given = names.find((name) => command.getOptionValueSource(name) === "cli");
    if (other === format || given === undefined) continue;
    return usage(`option '${flagOf(command, given)}' is for --format ${other}`);
  }
  if (format === "huggingface") return exportHuggingFace(folder, { ...options, out });
  if (options.training === true) {
    const other = (["dtype", ...OPTIONS_OF.onnx] as const).find(
      (name) => name !== "training" && name !== "verify" && command.getOptionValueSource(name) === "cli",
    );
    if (other !== undefined) return usage(`option '${flagOf(command, other)}' has no meaning with --training`);
    return exportTraining(folder, { ...options, out });
  }
  const { dtype, quantize, block = 32, asymmetric = false } = options;
  if (dtype === "bf16") return usage("--dtype bf16 is for --format huggingface; --format onnx has f32 and f16");
  if (quantize === undefined && (options.block !== undefined || asymmetric))
    return usage("--block and --asymmetric say how --quantize divides matrices, which is not given");
  const bits = quantize === "int8" ? 8 : 4;
  const quantise = quantize === undefined ? undefined : ({ bits, block, symmetric: !asymmetric } as const);
  const storage = { dtype: dtype === "f16" ? "f16" : "f32", quantise } as const;
  return exportOnnxModel(folder, { ...options, out, storage });
}
