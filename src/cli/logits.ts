// hybraid logits MODEL --input FILE --output FILE: a model's logits for given tokens, for comparing implementations.
import type { Command } from "commander";
import { writeSafetensorsFile } from "../formats/safetensors/node/file.ts";
import { loadModel } from "../model/node/files.ts";
import { type ComputeMode, computeLogits, parseMode, readTokens } from "./logits-of.ts";
import { addDeviceOptions, type DeviceOptions } from "./model-options.ts";

interface LogitsCommandOptions extends DeviceOptions {
  readonly input: string;
  readonly output: string;
  readonly mode: ComputeMode;
}

/** Adds the command to the program. */
export function register(program: Command): void {
  const command = program
    .command("logits")
    .description("compute a model's logits for token ids in a file")
    .argument("<model>", "folder of a run, of a saved model or of a Hugging Face checkpoint")
    .requiredOption("-i, --input <file>", "safetensors file with input_ids [B, T]")
    .requiredOption("-o, --output <file>", "safetensors file to write: logits f32 [B, T, V]")
    .option("--mode <mode>", "full: in one pass; step: token by token; chunks:N: N tokens at a time", parseMode, {
      chunk: null,
    });
  addDeviceOptions(command).action((folder: string, options: LogitsCommandOptions) => run(folder, options));
}

async function run(
  folder: string,
  { input, output, mode, device, threads, weights }: LogitsCommandOptions,
): Promise<void> {
  const tokens = await readTokens(input);
  const model = await loadModel(folder, { device, threads, weightStorage: weights, sequenceLength: tokens.length });
  try {
    const { logits, shape } = await computeLogits(model, tokens, mode);
    await writeSafetensorsFile(output, [{ name: "logits", dtype: "F32", shape, data: logits }]);
    process.stdout.write(`${output}: logits [${shape.join(", ")}], computed on ${model.runtime.name}\n`);
  } finally {
    await model.close();
  }
}
