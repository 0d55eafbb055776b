// Exported models against graphs built by hand, both in onnxruntime-node, and against our own runtime: prefill of 512 tokens and
// decoding, logits of the last position, random weights, float32, 2 threads. The exported graph is one for both; by hand there is
// one for each. `npx tsx bench/onnx-export.ts [W1 W2 W3] [--rounds 7] [--json file]`
// Also what the export itself takes: time, memory, size, and how long onnxruntime needs to open the file.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { createModel } from "../src/model/create.ts";
import type { Model } from "../src/model/model.ts";
import { saveModel } from "../src/model/node/files.ts";
import { loadSpecFile } from "../src/spec/node/files.ts";
import type { ArchitectureSpec } from "../src/spec/types.ts";
import { type Contender, Report, race, type Timing } from "./harness.ts";
import { buildOnnxModel } from "./onnx-models.ts";
import type { Weights } from "./work.ts";
import { chosen, DECODE, DECODE_PROMPT, PROMPT, rounds, THREADS, tokensFrom } from "./workloads.ts";

const options = {
  logSeverityLevel: 3,
  intraOpNumThreads: THREADS,
  interOpNumThreads: 1,
  graphOptimizationLevel: "all",
  executionProviders: ["cpu"],
} as const;

type Feeds = Record<string, Tensor>;

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const int64 = (list: ArrayLike<number>): Tensor =>
  new Tensor("int64", BigInt64Array.from(Array.from(list), BigInt), [1, list.length]);
const zeros = (dims: readonly number[]): Tensor =>
  new Tensor("float32", new Float32Array(dims.reduce((n, d) => n * d, 1)), dims);

/** Something that reads tokens from a position on and carries states. */
interface Runner {
  readonly start: Feeds;
  /** Logits of the last token and the states after it. */
  step(start: number, length: number, states: Feeds): Promise<{ logits: Float32Array; states: Feeds }>;
}

const logitsOf = (tensor: unknown): Float32Array => (tensor as Tensor).data as Float32Array;

/** An exported graph: one for every length. */
function exported(session: InferenceSession, spec: ArchitectureSpec): Runner {
  const isState = (name: string): boolean => name.startsWith("past_");
  const presentOf = (past: string): string =>
    past.startsWith("past_key_values") ? past.replace("past_key_values", "present") : past.replace("past_", "present_");
  const attends = session.inputNames.some((name) => name.startsWith("past_key_values"));
  const start: Feeds = {};
  for (const input of session.inputMetadata) {
    if (!isState(input.name) || !input.isTensor) continue;
    start[input.name] = zeros(input.shape.map((d) => (typeof d === "number" ? d : d.includes("past") ? 0 : 1)));
  }
  return {
    start,
    async step(from, length, states) {
      const all: Feeds = {
        input_ids: int64(tokensFrom(from, length, spec)),
        // Without attention nothing is asked of earlier tokens: with sizes that stay, onnxruntime plans its memory once.
        attention_mask: int64(new Array<number>(attends ? from + length : length).fill(1)),
        position_ids: int64(Array.from({ length }, (_, i) => from + i)),
        ...states,
      };
      const feeds = Object.fromEntries(Object.entries(all).filter(([name]) => session.inputNames.includes(name)));
      const results = await session.run(feeds);
      const next = Object.keys(states).map((name) => [name, results[presentOf(name)] as Tensor] as const);
      return { logits: logitsOf(results.logits), states: Object.fromEntries(next) };
    },
  };
}

/** A graph built by hand for calls of one length. */
async function byHand(spec: ArchitectureSpec, weights: Weights, length: number) {
  const { model, shapes } = buildOnnxModel(spec, weights, length);
  const session = await InferenceSession.create(model, options);
  const runner: Runner = {
    start: Object.fromEntries([...shapes].map(([name, dims]) => [`past.${name}`, zeros(dims)])),
    async step(from, count, states) {
      const int32 = (value: number, dims: number[]): Tensor => new Tensor("int32", Int32Array.of(value), dims);
      const last = from + count - 1;
      const all: Feeds = {
        tokens: int64(tokensFrom(from, count, spec)),
        last_key: int32(last, [1]),
        total_length: int32(last + 1, []),
        ...states,
      };
      const feeds = Object.fromEntries(Object.entries(all).filter(([name]) => session.inputNames.includes(name)));
      const results = await session.run(feeds);
      const next = Object.keys(states).map((past) => [past, results[past.replace("past.", "present.")] as Tensor]);
      return { logits: logitsOf(results.logits), states: Object.fromEntries(next) };
    },
  };
  return { runner, release: () => session.release() };
}

function ours(model: Model): { prefill: () => Promise<Float32Array>; decode: () => Promise<() => Promise<void>> } {
  const { spec } = model;
  const feed = async (state: ReturnType<Model["createState"]>, from: number, length: number) =>
    (await model.forward(tokensFrom(from, length, spec), { state, logits: "last" })).logits;
  return {
    prefill: () => feed(model.createState(1, { context: PROMPT }), 0, PROMPT),
    async decode() {
      const start = model.createState(1, { context: DECODE_PROMPT + DECODE });
      await feed(start, 0, DECODE_PROMPT);
      return async () => {
        const state = await start.clone();
        for (let i = 0; i < DECODE; i++) await feed(state, DECODE_PROMPT + i, 1);
      };
    },
  };
}

const prefillOf = (name: string, { start, step }: Runner): Contender => ({
  name,
  run: () => step(0, PROMPT, start),
});

/** One run decodes DECODE tokens after a prompt of DECODE_PROMPT, token by token. */
async function decodingOf(name: string, { start, step }: Runner): Promise<Contender> {
  let states = start;
  for (let i = 0; i < DECODE_PROMPT; i++) states = (await step(i, 1, states)).states;
  return {
    name,
    async run() {
      let next = states;
      for (let i = 0; i < DECODE; i++) next = (await step(DECODE_PROMPT + i, 1, next)).states;
    },
  };
}

function check(name: string, expected: Float32Array, actual: Float32Array): void {
  let [largest, error] = [0, 0];
  for (const [i, value] of expected.entries()) {
    largest = Math.max(largest, Math.abs(value));
    const difference = Math.abs(value - (actual[i] ?? Number.NaN));
    if (!(difference <= error)) error = difference;
  }
  if (!(error / largest < 1e-3)) throw new Error(`${name}: logits differ by ${error / largest} of the largest`);
  console.log(`  ${name}: logits agree to ${(error / largest).toExponential(1)}`);
}

const once = (name: string, seconds: number): Timing => ({ name, median: seconds, best: seconds, samples: [seconds] });
const [exportedName, handName, ownName] = ["exported, onnxruntime-node", "by hand, onnxruntime-node", "hybraid"];
const report = new Report("onnx-export");
for (const [key, file] of chosen) {
  const spec = loadSpecFile(here(`../architectures/bench/${file}.yaml`));
  console.log(`${key}: ${spec.name}`);
  const model = await createModel(spec, { device: "wasm", threads: THREADS });
  const weights: Weights = await model.weights();
  const folder = mkdtempSync(join(tmpdir(), "hybraid-bench-"));
  const [from, out] = [join(folder, "model"), join(folder, "exported")];
  await saveModel(model, from);
  const worker = spawnSync(process.execPath, ["--import", "tsx", here("onnx-export-worker.ts"), from, out], {
    encoding: "utf8",
  });
  if (worker.status !== 0) throw new Error(worker.stderr);
  const made = JSON.parse(worker.stdout) as { seconds: number; bytes: number; peak: number; before: number };
  const size = [...weights.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
  const path = join(out, "onnx", "model.onnx");
  const opening = performance.now();
  const session = await InferenceSession.create(path, options);
  const opened = (performance.now() - opening) / 1000;
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
  const share = (bytes: number): string => `${(bytes / size).toFixed(3)} ×`;
  console.log(
    `  files ${megabytes(made.bytes)}, ${share(made.bytes)} the weights (graph ${megabytes(statSync(path).size)}); ` +
      `memory at most ${megabytes(made.peak)}, ${share(made.peak)}, of which ${megabytes(made.before)} before it began`,
  );
  report.add({
    title: `${key} export: ${file}, ${megabytes(size)} of weights`,
    work: size / 1e6,
    unit: "MB",
    timings: [once("export", made.seconds), once("opening the file, onnxruntime-node", opened)],
  });

  const runner = exported(session, spec);
  const own = ours(model);
  const expected = await own.prefill();
  check(exportedName, expected, (await runner.step(0, PROMPT, runner.start)).logits);
  const prefill = await byHand(spec, weights, PROMPT);
  check(handName, expected, (await prefill.runner.step(0, PROMPT, prefill.runner.start)).logits);
  report.add({
    title: `${key} exported, prefill: ${file}, ${PROMPT} tokens`,
    work: PROMPT,
    unit: "tokens",
    timings: await race(
      [prefillOf(exportedName, runner), prefillOf(handName, prefill.runner), { name: ownName, run: own.prefill }],
      { rounds, repeats: 1 },
    ),
  });
  await prefill.release();
  const decoding = await byHand(spec, weights, 1);
  report.add({
    title: `${key} exported, decoding: ${file}, ${DECODE} tokens after ${DECODE_PROMPT}`,
    work: DECODE,
    unit: "tokens",
    timings: await race(
      [
        await decodingOf(exportedName, runner),
        await decodingOf(handName, decoding.runner),
        { name: ownName, run: await own.decode() },
      ],
      { rounds, repeats: 1 },
    ),
  });
  await decoding.release();
  await session.release();
  await model.close();
  rmSync(folder, { recursive: true });
}
report.finish();
process.exit(0);
