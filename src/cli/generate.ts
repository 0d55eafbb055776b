// hybraid generate RUN --prompt TEXT: continues a text with a trained model, as it is written.
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Command, Option } from "commander";
import type { Tokenizer } from "../data/tokenizer.ts";
import { CONFIG_FILE } from "../formats/huggingface/node/folder.ts";
import { WEIGHTS_FILE } from "../model/files.ts";
import type { Model } from "../model/model.ts";
import { loadModel, loadState, saveState } from "../model/node/files.ts";
import type { ModelState } from "../model/state.ts";
import {
  type ActivationsOptions,
  activationsOption,
  type DeviceOptions,
  deviceOption,
  threadsOption,
  weightsOption,
} from "./model-options.ts";
import { number, wholeNumber } from "./numbers.ts";
import { InputError } from "./program.ts";
import { StopText } from "./stop-text.ts";
import { folderTokenizer } from "./tokenizer.ts";

interface GenerateCommandOptions extends DeviceOptions, ActivationsOptions {
  readonly prompt: string;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly repetitionPenalty: number;
  readonly stop?: readonly string[];
  readonly seed: number;
  readonly tokenizer?: string;
  readonly stateIn?: string;
  readonly stateOut?: string;
  readonly json?: boolean;
}

/** Adds the command to the program. */
export function register(program: Command): void {
  const option = (flags: string, text: string, parser: (value: string) => number): Option =>
    new Option(flags, text).argParser(parser);
  program
    .command("generate")
    .description("continue a text with a trained model")
    .argument("<run>", "folder of a run, of a saved model or of a Hugging Face checkpoint")
    .requiredOption("-p, --prompt <text>", "where the text starts")
    .addOption(option("-n, --max-tokens <n>", "most tokens to generate", wholeNumber(0)).default(256))
    .addOption(
      option(
        "-t, --temperature <x>",
        "0: always the likeliest token",
        number("0 or more", (x) => x >= 0),
      ).default(0.8),
    )
    .addOption(option("--top-k <n>", "choose among so many tokens only", wholeNumber(1)))
    .addOption(
      option(
        "--top-p <x>",
        "choose among the likeliest that make up this share",
        number("over 0, up to 1", (x) => x > 0 && x <= 1),
      ),
    )
    .addOption(
      option(
        "--repetition-penalty <x>",
        "divides the logits of tokens that were there already; 1: none",
        number("over 0", (x) => x > 0),
      ).default(1),
    )
    .option("--stop <texts...>", "texts that end the generation; they are not printed")
    .addOption(option("--seed <n>", "the same seed gives the same text", wholeNumber(0)).default(0))
    .option("--tokenizer <path>", "bytes, or a tokenizer.json; default: the model's own")
    .option(
      "--state-in <file>",
      "go on from a state that --state-out wrote: the prompt comes after all that it has read",
    )
    .option("--state-out <file>", "write the state after the last token, to go on from later")
    .addOption(deviceOption())
    .addOption(weightsOption())
    .addOption(activationsOption())
    .addOption(threadsOption())
    .option("--json", "print one JSON object at the end instead of the text as it comes")
    .action((folder: string, options: GenerateCommandOptions) => generate(folder, options));
}

/** Why a generation ended. */
type Ending = "max_tokens" | "stop" | "end_of_text";

interface Generated {
  readonly text: string;
  readonly tokens: number[];
  readonly ending: Ending;
  /** From the first generated token to the last. */
  readonly tokensPerSecond: number | null;
}

async function generate(folder: string, options: GenerateCommandOptions): Promise<void> {
  requireModel(folder);
  const { device, threads, activations, weights: weightStorage } = options;
  const model = await loadModel(folder, { device, threads, activations, weightStorage });
  try {
    const tokenizer = await folderTokenizer(folder, model.spec.vocab_size, options.tokenizer);
    const { stateIn, stateOut, json = false, prompt } = options;
    const state = stateIn === undefined ? model.createState() : await loadState(model, stateIn);
    if (state.batch !== 1) throw new InputError(`${stateIn}: a state of ${state.batch} rows; generation takes one`);
    const promptTokens = tokenizer.encode(prompt);
    if (!json) process.stdout.write(prompt);
    const print = (text: string): void => {
      if (!json) process.stdout.write(text);
    };
    const generated = await run({ model, tokenizer, state, promptTokens, options, print });
    if (!json) process.stdout.write("\n");
    if (stateOut !== undefined) {
      // The token after which the text ended has been read already; the last of a text cut off has not.
      const last = generated.ending === "end_of_text" ? undefined : generated.tokens.at(-1);
      if (last !== undefined) await model.forward([last], { state, logits: "last" });
      await saveState(state, stateOut);
    }
    if (json)
      process.stdout.write(`${JSON.stringify(report(prompt, promptTokens.length, generated, state), null, 2)}\n`);
  } finally {
    await model.close();
  }
}

function requireModel(folder: string): void {
  const status = statSync(folder, { throwIfNoEntry: false });
  if (status === undefined) throw new InputError(`${folder}: no such folder`);
  if (!status.isDirectory()) throw new InputError(`${folder}: not the folder of a run or of a saved model`);
  if (existsSync(join(folder, WEIGHTS_FILE)) || existsSync(join(folder, CONFIG_FILE))) return;
  const isRun = existsSync(join(folder, "run.yaml"));
  throw new InputError(
    isRun
      ? `${folder}: the run has not saved a model yet`
      : `${folder}: neither a run, nor a saved model, nor a Hugging Face checkpoint: no ${WEIGHTS_FILE}`,
  );
}

interface Job {
  readonly model: Model;
  readonly tokenizer: Tokenizer;
  readonly state: ModelState;
  readonly promptTokens: Int32Array;
  readonly options: GenerateCommandOptions;
  readonly print: (text: string) => void;
}

async function run({ model, tokenizer, state, promptTokens, options, print }: Job): Promise<Generated> {
  const { maxTokens, temperature, topK, topP, repetitionPenalty, seed, stop = [] } = options;
  const decoder = tokenizer.decoder();
  const stops = new StopText(stop);
  const tokens: number[] = [];
  let text = "";
  let ending: Ending = "max_tokens";
  let first: number | undefined;
  const release = (piece: string): boolean => {
    const { text: certain, stop: met } = stops.push(piece);
    text += certain;
    print(certain);
    return met !== undefined;
  };
  const sampling = { temperature, topK, topP, repetitionPenalty, vocabSize: tokenizer.vocabSize, seed };
  for await (const token of model.generate(promptTokens, { ...sampling, maxTokens, state })) {
    if (token === tokenizer.endOfText) {
      ending = "end_of_text";
      break;
    }
    first ??= performance.now();
    tokens.push(token);
    if (release(decoder.push(token))) {
      ending = "stop";
      break;
    }
  }
  if (ending !== "stop" && release(decoder.end())) ending = "stop";
  if (ending !== "stop") {
    const rest = stops.end();
    text += rest;
    print(rest);
  }
  const seconds = (performance.now() - (first ?? 0)) / 1000;
  return { text, tokens, ending, tokensPerSecond: tokens.length > 1 ? (tokens.length - 1) / seconds : null };
}

function report(prompt: string, promptTokens: number, generated: Generated, state: ModelState): object {
  return {
    prompt,
    prompt_tokens: promptTokens,
    text: generated.text,
    tokens: generated.tokens,
    ended_by: generated.ending,
    tokens_per_second: generated.tokensPerSecond,
    position: state.positions[0],
  };
}
