// hybraid train CONFIG: trains what a run file says and shows it happening.
import { statSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { type Command, Option } from "commander";
import picocolors from "picocolors";
import { formatNumber } from "../plot/ticks.ts";
import { type Device, devices } from "../runtime/index.ts";
import type { EvaluationRecord } from "../train/metrics.ts";
import { listCheckpoints } from "../train/node/checkpoints.ts";
import { type LoadedRun, loadRunFile } from "../train/node/config.ts";
import { type RunSummary, trainInFolder } from "../train/node/run.ts";
import { CHECKPOINT_FOLDER, chooseFolder, METRICS_FILE, PLOT_FILE, RUN_FILE } from "../train/node/run-folder.ts";
import type { RunOutcome } from "../train/run.ts";
import { threadsOption } from "./model-options.ts";
import { number, wholeNumber } from "./numbers.ts";
import { EXIT, exitCodeOf } from "./program.ts";
import { createProgress, formatSeconds, type Progress } from "./progress.ts";
import { writeSample } from "./sample.ts";
import { commandName, shellQuote } from "./self.ts";

/** Where runs go that name no folder. */
const RUNS = "runs";

interface TrainOptions {
  readonly out?: string;
  readonly resume?: boolean;
  readonly steps?: number;
  readonly minutes?: number;
  readonly device?: Device;
  readonly threads?: number;
  readonly seed?: number;
  readonly json?: boolean;
}

/** Adds the command to the program. */
export function register(program: Command): void {
  program
    .command("train")
    .description("train the model of a run file; Ctrl-C stops after the step and leaves a checkpoint to go on from")
    .argument("<config>", "run file (YAML), or the folder of a run")
    .option("-o, --out <dir>", `folder of the run; default: ${RUNS}/NAME, or the next of NAME-2, NAME-3 … that is free`)
    .option("--resume", "go on from the last checkpoint; the losses are those of a run that never stopped")
    .addOption(new Option("--steps <n>", "steps, instead of what the file says").argParser(wholeNumber(1)))
    .addOption(
      new Option("--minutes <n>", "minutes, instead of what the file says")
        .argParser(number("numbers over 0", (value) => value > 0))
        .conflicts("steps"),
    )
    .addOption(new Option("--device <name>", "what trains, instead of what the file says").choices([...devices]))
    .addOption(threadsOption())
    .addOption(new Option("--seed <n>", "seed, instead of what the file says").argParser(wholeNumber(0)))
    .option("--json", "print one JSON object at the end, progress to stderr")
    .action((config: string, options: TrainOptions) => train(config, options));
}

async function train(path: string, options: TrainOptions): Promise<void> {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  const run = withOptions(loadRunFile(isFolder ? join(path, RUN_FILE) : path), options);
  const resume = options.resume === true;
  const folder = options.out ?? (isFolder && resume ? path : await chooseFolder(RUNS, run.config, resume));
  const interrupt = listenForInterrupts();
  const { batch_size, sequence_length, accumulation } = run.config;
  let progress: Progress | undefined;
  let summary: RunSummary | undefined;
  let outcome: RunOutcome;
  try {
    outcome = await trainInFolder(run, {
      folder,
      resume,
      signal: interrupt.signal,
      observer: {
        start: (started) => {
          summary = started;
          process.stderr.write(`${introduction(started, resume)}\n`);
        },
        begin: () => {
          progress = createProgress(process.stderr, batch_size * sequence_length * accumulation);
        },
        step: (record, total) => progress?.step(record, total),
        evaluation: (record) => progress?.line(evaluationLine(record)),
      },
    });
  } catch (error) {
    progress?.end();
    if (exitCodeOf(error) === EXIT.input) await tellWhatIsLeft(folder);
    throw error;
  } finally {
    interrupt.stop();
  }
  progress?.end();
  if (outcome.status === "interrupted") {
    process.exitCode = EXIT.interrupted;
    process.stderr.write(`${interruption(outcome, folder)}\n`);
  }
  const isJson = options.json === true;
  const print = (text: string): void => {
    if (!isJson) process.stdout.write(text);
  };
  const sample = outcome.status === "finished" ? await writeSample(run.config, folder, print) : undefined;
  if (isJson) {
    const { evaluation, ...how } = outcome;
    const report = { name: run.config.name, folder, parameters: summary?.parameters, ...how, evaluation, sample };
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  } else if (outcome.status === "finished") {
    process.stdout.write(`${conclusion(outcome, folder, path, run)}\n`);
  }
}

function withOptions({ config, directory }: LoadedRun, options: TrainOptions): LoadedRun {
  const { steps, minutes, device = config.device, threads = config.threads, seed = config.seed } = options;
  const budget = steps !== undefined ? { steps } : minutes !== undefined ? { minutes } : config.budget;
  const { warmup_steps: warmup } = config.schedule;
  const schedule = { ...config.schedule, warmup_steps: steps === undefined ? warmup : Math.min(warmup, steps) };
  return { config: { ...config, budget, schedule, device, threads, seed }, directory };
}

/** The first Ctrl-C ends the run after its step, with a checkpoint; the second one at once, with the last checkpoint. */
function listenForInterrupts(): { signal: AbortSignal; stop(): void } {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted);
    controller.abort();
    process.stderr.write("\nstopping after this step; once more to stop at once\n");
  };
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) process.on(signal, onSignal);
  return {
    signal: controller.signal,
    stop: () => {
      for (const signal of signals) process.off(signal, onSignal);
    },
  };
}

function introduction({ config, data, folder, parameters, device, arenaBytes, resumed }: RunSummary, resume: boolean) {
  const { batch_size, sequence_length, accumulation, budget } = config;
  const tokens = batch_size * sequence_length * accumulation;
  const until = "steps" in budget ? `${budget.steps.toLocaleString("en-US")} steps` : `${budget.minutes} minutes`;
  const lines = [
    picocolors.bold(`${config.name}: ${parameters.toLocaleString("en-US")} parameters`),
    `  ${device}`,
    `  ${until} of ${tokens.toLocaleString("en-US")} tokens each, ${formatNumber(arenaBytes, "bytes")} of working memory`,
  ];
  if (data.heldOut !== undefined) {
    const [train, held] = [data.trainingTokens ?? 0, data.heldOut.tokens].map((n) => n.toLocaleString("en-US"));
    lines.push(`  ${train} tokens to train on, ${held} held out`);
  }
  for (const { path, reason } of resumed?.damaged ?? [])
    lines.push(picocolors.yellow(`  ${path} is left out: ${reason}`));
  if (resumed !== undefined) lines.push(`  going on from step ${resumed.checkpoint.step}`);
  else if (resume) lines.push(`  nothing to go on from in ${folder}: starting from the beginning`);
  return lines.join("\n");
}

function evaluationLine({ step, loss, bits_per_byte, accuracy }: EvaluationRecord): string {
  const more =
    bits_per_byte !== undefined
      ? `, ${bits_per_byte.toFixed(3)} bits per byte`
      : accuracy !== undefined
        ? `, accuracy ${(100 * accuracy).toFixed(1)}%`
        : "";
  return `step ${step}  held-out loss ${loss.toFixed(3)}${more}`;
}

function interruption({ step, total }: RunOutcome, folder: string): string {
  const done = `stopped after step ${step}${total === undefined ? "" : ` of ${total}`}`;
  return step === 0 ? `${done}: nothing to keep` : `${done}; to go on:\n  ${resumeCommand(folder)}`;
}

function resumeCommand(folder: string): string {
  return `${commandName()} train ${shellQuote(folder)} --resume`;
}

/** After an error: where the run can be taken up. */
async function tellWhatIsLeft(folder: string): Promise<void> {
  const [last] = await listCheckpoints(join(folder, CHECKPOINT_FOLDER)).catch(() => []);
  if (last === undefined) return;
  process.stderr.write(
    `the last good checkpoint is that of step ${last.step}; to go on from it:\n  ${resumeCommand(folder)}\n`,
  );
}

function conclusion(outcome: RunOutcome, folder: string, path: string, { config }: LoadedRun): string {
  const { step, seconds, evaluation } = outcome;
  const bold = picocolors.bold;
  const lines = [`${bold("Trained")} ${step.toLocaleString("en-US")} steps in ${formatSeconds(seconds)}.`];
  const { streamed_bits_per_byte: streamed, bits_per_byte: windows, accuracy } = evaluation ?? {};
  if (streamed !== undefined && windows !== undefined) {
    lines.push(
      `Held-out text read as one stream: ${bold(`${streamed.toFixed(3)} bits per byte`)}` +
        ` (${windows.toFixed(3)} in separate windows of ${config.sequence_length} tokens).`,
    );
  } else if (windows !== undefined) lines.push(`Held-out text: ${bold(`${windows.toFixed(3)} bits per byte`)}.`);
  if (accuracy !== undefined) lines.push(`Accuracy on fresh examples: ${bold(`${(100 * accuracy).toFixed(1)}%`)}.`);
  const at = (name: string): string => fromHere(join(folder, name));
  lines.push(
    "",
    bold("Where things are"),
    `  ${at("model.safetensors")}, ${at("architecture.yaml")}  the model`,
    `  ${at(METRICS_FILE)}, ${at(PLOT_FILE)}  how it learned`,
    `  ${at(CHECKPOINT_FOLDER)}  what training can go on from`,
    "",
    bold("What to try next"),
  );
  const self = commandName();
  const where = shellQuote(at(""));
  if (config.data.type !== "task") {
    lines.push(`  ${self} generate ${where} --prompt ${shellQuote(config.sample.prompt)}`);
  }
  lines.push(
    `  ${self} train ${where} --resume ${longer(config.budget, step)}  # train on, twice as long in all`,
    `  ${self} inspect ${where}`,
  );
  if (relative(process.cwd(), path) !== at(""))
    lines.push(`  edit ${shellQuote(path)} or its architecture and train again`);
  return lines.join("\n");
}

/** A path as it is shortest to type. */
function fromHere(path: string): string {
  const near = relative(process.cwd(), path);
  return near === "" ? "." : near.startsWith("..") ? resolve(path) : near;
}

function longer(budget: RunSummary["config"]["budget"], step: number): string {
  return "minutes" in budget ? `--minutes ${2 * budget.minutes}` : `--steps ${2 * step}`;
}
