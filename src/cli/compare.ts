// hybraid compare MODEL EXPECTED: how far a model is from another implementation's logits, loss, gradients and greedy text.
import type { Command } from "commander";
import { Option } from "commander";
import { openHuggingFace } from "../formats/huggingface/node/folder.ts";
import type { StoredTensor } from "../formats/huggingface/plan.ts";
import type { Safetensors } from "../formats/safetensors/index.ts";
import { withSafetensorsFile } from "../formats/safetensors/node/file.ts";
import { type Comparison, compareGradients, compareValues, gradientNames } from "../model/compare.ts";
import { createModel, type WeightSource } from "../model/create.ts";
import type { Model } from "../model/model.ts";
import { isModelOfOurs, openModel } from "../model/node/files.ts";
import { originalTensors } from "../model/node/huggingface.ts";
import type { ArchitectureSpec } from "../spec/types.ts";
import { type ComputeMode, computeLogits, parseMode, readTokens } from "./logits-of.ts";
import { addDeviceOptions, type DeviceOptions } from "./model-options.ts";
import { number } from "./numbers.ts";
import { InputError } from "./program.ts";
import { formatTable } from "./table.ts";

interface CompareCommandOptions extends DeviceOptions {
  readonly mode: ComputeMode;
  readonly maxError?: number;
  readonly json?: boolean;
}

/** Adds the command to the program. */
export function register(program: Command): void {
  const command = program
    .command("compare")
    .description("compare a model with expected logits, loss and gradients; the worst comes first")
    .argument("<model>", "folder of a run, of a saved model or of a Hugging Face checkpoint")
    .argument(
      "<expected>",
      "safetensors file: input_ids [B, T] with logits [B, T, V], loss and grad.<weight>; or prompt and tokens (greedy)",
    )
    .option("--mode <mode>", "how logits are computed: full, step or chunks:N", parseMode, { chunk: null })
    .addOption(
      new Option("--max-error <x>", "exit code 1 where a relative error is larger").argParser(
        number("0 or more", (x) => x >= 0),
      ),
    )
    .option("--json", "print one JSON array");
  addDeviceOptions(command).action((folder: string, file: string, options: CompareCommandOptions) =>
    run(folder, file, options),
  );
}

interface Opened {
  readonly spec: ArchitectureSpec;
  readonly weights: WeightSource;
  readonly stored: ReadonlyMap<string, StoredTensor>;
  close(): Promise<void>;
}

async function open(folder: string): Promise<Opened> {
  if (await isModelOfOurs(folder)) {
    const { spec, weights, close } = await openModel(folder);
    return { spec, weights, close, stored: await originalTensors(folder, spec) };
  }
  const { imported, close } = await openHuggingFace(folder);
  return { spec: imported.spec, weights: imported, stored: imported.tensors, close };
}

async function run(folder: string, file: string, options: CompareCommandOptions): Promise<void> {
  const { device, threads, weights: weightStorage } = options;
  const { spec, weights, stored, close } = await open(folder);
  try {
    const sequenceLength = await withSafetensorsFile(file, async (expected) => longestOf(expected));
    const model = await createModel(spec, { device, threads, weightStorage, weights, sequenceLength });
    try {
      const all = await withSafetensorsFile(file, (expected) => compareAll(model, weights, stored, expected, options));
      const sorted = all.sort((a, b) => b.relative - a.relative);
      if (options.json === true) process.stdout.write(`${JSON.stringify(sorted, null, 2)}\n`);
      else process.stdout.write(`${asText(sorted, model)}\n`);
      const worst = sorted[0]?.relative ?? 0;
      if (options.maxError !== undefined && worst > options.maxError) process.exitCode = 1;
    } finally {
      await model.close();
    }
  } finally {
    await close();
  }
}

/** Tokens of the sequences in the file. */
function longestOf(expected: Safetensors): number {
  const lengthOf = (name: string): number => (expected.tensors.has(name) ? (expected.info(name).shape.at(-1) ?? 0) : 0);
  return Math.max(lengthOf("input_ids"), lengthOf("prompt") + lengthOf("tokens"));
}

async function compareAll(
  model: Model,
  weights: WeightSource,
  stored: ReadonlyMap<string, StoredTensor>,
  expected: Safetensors,
  { mode }: CompareCommandOptions,
): Promise<Comparison[]> {
  const has = (name: string): boolean => expected.tensors.has(name);
  const comparisons: Comparison[] = [];
  if (has("input_ids")) {
    const tokens = await readTokens(expected.name);
    if (has("logits")) {
      const { logits } = await computeLogits(model, tokens, mode);
      comparisons.push(
        compareValues("logits", expected.info("logits").shape, logits, await expected.readFloat32("logits")),
      );
    }
    if (has("loss") || gradientNames(expected).length > 0) {
      const size = [tokens.batch, tokens.length] as const;
      comparisons.push(...(await compareGradients(model, weights, tokens.ids, size, expected, stored)));
    }
  }
  if (has("prompt") && has("tokens")) comparisons.push(await compareGreedy(model, expected));
  if (comparisons.length === 0) {
    throw new InputError(
      `${expected.name}: nothing to compare; allowed: input_ids with logits, loss or grad.<weight>, or prompt with tokens`,
    );
  }
  return comparisons;
}

/** Greedy continuation: the number of tokens that differ. */
async function compareGreedy(model: Model, expected: Safetensors): Promise<Comparison> {
  const tokens = await expected.readInt32("tokens");
  const found: number[] = [];
  for await (const token of model.generate(await expected.readInt32("prompt"), {
    maxTokens: tokens.length,
    temperature: 0,
  })) {
    found.push(token);
  }
  const wrong = tokens.reduce((count, token, i) => count + (token === found[i] ? 0 : 1), 0);
  return { tensor: "tokens", shape: [tokens.length], absolute: wrong, relative: wrong / tokens.length };
}

function asText(comparisons: readonly Comparison[], model: Model): string {
  const rows = comparisons.map(({ tensor, shape, absolute, relative }) => [
    tensor,
    `[${shape.join(", ")}]`,
    absolute.toExponential(2),
    relative.toExponential(2),
  ]);
  const table = formatTable(["tensor", "shape", "largest error", "relative to largest"], rows, [0, 1]);
  return `${model.spec.name} on ${model.runtime.name}\n${table}`;
}
