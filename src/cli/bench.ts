// hybraid bench: the benchmarks of a checkout by name, and anywhere the speed of an architecture on this machine.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Command, InvalidArgumentError } from "commander";
import picocolors from "picocolors";
import { type MeasurementReport, measure, type ProfileReport, type SpeedReport } from "../inspect/measure.ts";
import { formatNumber } from "../plot/ticks.ts";
import { createRuntime } from "../runtime/index.ts";
import { nearest } from "../spec/suggest.ts";
import { openArchitecture } from "./architecture.ts";
import {
  type ActivationsOptions,
  activationsOption,
  type DeviceOptions,
  deviceOption,
  weightsOption,
} from "./model-options.ts";
import { InputError } from "./program.ts";
import { formatTable } from "./table.ts";

/** Of the package: a checkout has bench/ there. */
const ROOT = fileURLToPath(new URL("../../", import.meta.url));

interface BenchOptions extends DeviceOptions, ActivationsOptions {
  readonly all?: boolean;
  readonly json?: boolean;
  readonly tokens?: number;
  readonly batch?: number;
  readonly sequence?: number;
  readonly tune?: boolean;
  readonly profile?: boolean;
}

/** Adds the command to the program. */
export function register(program: Command): void {
  program
    .command("bench")
    .description("run benchmarks by name (none: list them), or measure how fast architectures run here")
    .argument("[names...]", "benchmarks of a checkout, or architecture files, run files, model folders")
    .option("--all", "run every benchmark of the checkout")
    .option("--json", "print the results as one JSON array")
    .option("--threads <n>", "threads; default: one per core", parseCount)
    .option("--tokens <n>", "architectures: tokens of the prompt; default 512", parseCount)
    .option("--batch <n>", "architectures: rows of a training batch; default: 8, fewer for large models", parseCount)
    .option("--sequence <n>", "architectures: tokens of each row; default 256", parseCount)
    .addOption(deviceOption("architectures: what runs them"))
    .addOption(weightsOption("architectures: how matrices are kept"))
    .addOption(activationsOption("architectures: how values in flight are kept"))
    .option("--tune", "architectures, webgpu: first measure which variant of a kernel is fastest here, and remember it")
    .option("--profile", "architectures: also the time, the rate and the chosen variant of every kernel")
    .action(async (names: string[], options: BenchOptions) => {
      const known = listBenchmarks(join(ROOT, "bench"));
      if (names.length === 0 && options.all !== true) {
        process.stdout.write(`${options.json === true ? JSON.stringify(known, null, 2) : listText(known)}\n`);
        return;
      }
      const wanted = options.all === true ? [...known.map((benchmark) => benchmark.name), ...names] : names;
      for (const name of wanted) requireKnown(name, known);
      const results: unknown[] = [];
      for (const name of wanted) {
        const benchmark = known.find((one) => one.name === name);
        results.push(benchmark ? await runBenchmark(benchmark, options) : await runArchitecture(name, options));
      }
      if (options.json === true) process.stdout.write(`${JSON.stringify(results, null, 2)}\n`);
    });
}

export function parseCount(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError(`"${text}" is not a whole number of at least 1.`);
  return Number(text);
}

interface Benchmark {
  readonly name: string;
  /** The question that it answers. */
  readonly question: string;
  readonly file: string;
}

/** Benchmarks in a folder: the files whose opening comment says how to run them; the others are their parts. */
export function listBenchmarks(folder: string): Benchmark[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((file) => /^[a-z0-9-]+\.ts$/.test(file))
    .sort()
    .flatMap((file) => {
      const name = file.slice(0, -".ts".length);
      const comment = /^(?:\/\/.*\n)+/.exec(readFileSync(join(folder, file), "utf8"))?.[0] ?? "";
      if (!comment.includes(`npx tsx bench/${file}`)) return [];
      const question = comment.replace(/^\/\/ ?/gm, "").split(/(?<=[.?:])\s/)[0] ?? "";
      return [{ name, question: question.replace(/\s+/g, " ").replace(/:$/, ""), file: join(folder, file) }];
    });
}

function listText(known: readonly Benchmark[]): string {
  const usage = "hybraid bench SPEC measures how fast an architecture runs on this machine.";
  if (known.length === 0)
    return `${usage}\nThis is no checkout of the repository, so there are no benchmarks to run by name.`;
  const rows = known.map(({ name, question }) => [name, question]);
  return `${formatTable(["benchmark", "what it answers"], rows, [0, 1])}\n\nhybraid bench NAMES… or --all runs them; ${usage}`;
}

/** Before anything runs, so that a misspelt name does not end a long session. */
function requireKnown(name: string, known: readonly Benchmark[]): void {
  if (known.some((benchmark) => benchmark.name === name) || existsSync(name)) return;
  const names = known.map((benchmark) => benchmark.name);
  const hint = nearest(name, names);
  const meant = hint === undefined ? "" : `; did you mean "${hint}"?`;
  const where = known.length === 0 ? "; benchmarks by name need a checkout of the repository" : "";
  throw new InputError(`${name}: neither a benchmark nor a file or folder${meant}${where}`);
}

/** Runs a benchmark in a process of its own; with --json its text goes to stderr and its results are returned. */
async function runBenchmark({ name, file }: Benchmark, options: BenchOptions): Promise<unknown> {
  const folder = mkdtempSync(join(tmpdir(), "hybraid-bench-"));
  const results = join(folder, "results.json");
  const threads = options.threads === undefined ? [] : ["--threads", String(options.threads)];
  try {
    const child = spawn(process.execPath, ["--import", "tsx", file, "--json", results, ...threads], {
      cwd: ROOT,
      stdio: ["ignore", options.json === true ? process.stderr : "inherit", "inherit"],
    });
    const code = await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (status, signal) => resolve(signal === "SIGINT" ? 130 : (status ?? 1)));
    });
    if (code === 130) throw new DOMException("interrupted", "AbortError");
    if (code !== 0)
      throw new InputError(
        `benchmark ${name} ended with exit code ${code}; a checkout needs npm ci and npm run build first`,
      );
    return existsSync(results) ? JSON.parse(readFileSync(results, "utf8")) : { benchmark: name };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runArchitecture(path: string, options: BenchOptions): Promise<SpeedReport> {
  const spec = openArchitecture(path);
  const { device, threads, activations, tune, tokens, batch, sequence, profile, weights: weightStorage } = options;
  const runtime = await createRuntime(device, { threads, activations, tune });
  try {
    const isLive = process.stderr.isTTY === true;
    const progress = (what: string): void => {
      if (isLive) process.stderr.write(`\r\u001b[K${picocolors.dim(`${what} …`)}`);
    };
    const report = await measure(spec, runtime, { tokens, batch, sequence, progress, profile, weightStorage });
    if (isLive) process.stderr.write("\r\u001b[K");
    if (options.json !== true) process.stdout.write(`${speedText(report)}\n`);
    return report;
  } finally {
    await runtime.close();
  }
}

const metric = (value: number): string => formatNumber(value, "metric");
/** 6.84 GB/s: the prefix belongs to the unit. */
const rateText = (value: number, unit: string): string =>
  metric(value).replace(/[a-z]*$/i, (prefix) => ` ${prefix}${unit}`);

const names: { readonly [W in MeasurementReport["what"]]: (m: MeasurementReport) => string } = {
  prefill: (m) => `prefill of ${m.tokens}`,
  decode: (m) => `decoding at ${m.tokens}`,
  training: (m) => `training, ${m.batch} × ${m.tokens}`,
};

/** The report as text. */
export function speedText(report: SpeedReport): string {
  const rows = report.measurements.map((measured) => {
    const { tokens_per_second: median, samples, arithmetic_limit: arithmetic, memory_limit: memory } = measured;
    const limit = Math.min(arithmetic, memory);
    return [
      names[measured.what](measured),
      metric(median),
      metric(Math.max(...samples)),
      metric(limit),
      `${Math.round((100 * median) / limit)}%`,
      arithmetic < memory ? "arithmetic" : "memory",
    ];
  });
  const { machine } = report;
  const rate = `reads ${rateText(machine.bytes_per_second, "B/s")}, multiplies matrices at ${rateText(machine.flops_per_second, "FLOP/s")}`;
  const skipped = report.skipped.map(({ what, reason }) => `  ${what}: not measured, ${reason}`);
  return [
    `${picocolors.bold(report.name)}, ${metric(report.parameters)} parameters, random weights`,
    `${report.runtime}; ${rate}`,
    "",
    formatTable(["tokens per second", "median", "best", "limit", "reached", "limited by"], rows, [0, 5]),
    ...skipped,
    ...(report.profiles ?? []).map(profileText),
  ].join("\n");
}

function profileText({ what, tokens, kernels }: ProfileReport): string {
  const rows = kernels.map((row) => [
    row.op,
    String(row.launches),
    `${(1e3 * row.seconds).toFixed(3)} ms`,
    `${(100 * row.share).toFixed(1)}%`,
    `${metric(row.bytes)}B`,
    metric(row.flops),
    row.seconds === 0 ? "" : `${metric(row.bytes / row.seconds)}B/s`,
    row.seconds === 0 ? "" : `${metric(row.flops / row.seconds)}FLOP/s`,
    row.kernels.join(", "),
  ]);
  const header = ["op", "launches", "time", "share", "bytes", "FLOPs", "", "", "kernels"];
  return `\n${picocolors.bold(`kernels of ${what}, ${tokens} ${tokens === 1 ? "token" : "tokens"}`)}\n${formatTable(header, rows, [0, 8])}`;
}
