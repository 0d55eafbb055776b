// How fast an architecture runs on this machine with random weights, beside the floor that the machine's memory and
// arithmetic set: what `hybraid bench SPEC` prints.
import { textBatches } from "../data/batches.ts";
import { Random } from "../data/random.ts";
import { makeGraph } from "../graph/graph.ts";
import { input, parameter } from "../graph/leaves.ts";
import type { Tensor } from "../graph/types.ts";
import { createModel } from "../model/create.ts";
import { linear } from "../ops/matmul/op.ts";
import { reduce } from "../ops/reduce/op.ts";
import type { HostArray, Runtime, WeightStorage } from "../runtime/types.ts";
import type { ArchitectureSpec } from "../spec/types.ts";
import { Trainer } from "../train/trainer.ts";
import { createEstimator, type Estimator } from "./inspect.ts";
import { type KernelReport, reportKernels } from "./kernels.ts";
import { activeSize, sizeOfParameter } from "./parts.ts";

/** What the machine can do, measured through the runtime. */
export interface MachineReport {
  /** Bytes per second of a sum over more memory than caches hold; best of several. */
  readonly bytes_per_second: number;
  /** FLOPs per second of a matrix product of 1024³; best of several. */
  readonly flops_per_second: number;
}

export interface MeasurementReport {
  readonly what: "prefill" | "decode" | "training";
  /** Rows and tokens of each row that one call handles. */
  readonly batch: number;
  readonly tokens: number;
  /** Median over the samples. */
  readonly tokens_per_second: number;
  readonly samples: readonly number[];
  /** Tokens per second that the machine's arithmetic allows, and its memory where weights and state are moved once a call. */
  readonly arithmetic_limit: number;
  readonly memory_limit: number;
}

/** Why something was not measured. */
export interface SkippedReport {
  readonly what: MeasurementReport["what"];
  readonly reason: string;
}

export interface SpeedReport {
  readonly name: string;
  readonly parameters: number;
  readonly runtime: string;
  readonly machine: MachineReport;
  readonly measurements: readonly MeasurementReport[];
  readonly skipped: readonly SkippedReport[];
  /** Kernel by kernel, where it was asked for. */
  readonly profiles?: readonly ProfileReport[];
}

/** Where the time of one call goes. */
export interface ProfileReport {
  readonly what: "prefill" | "decode";
  /** Tokens of the call. */
  readonly tokens: number;
  readonly kernels: readonly KernelReport[];
}

export interface MeasureOptions {
  /** Tokens of the prompt; decoding goes on from there. Default 512, or what learned positions allow. */
  readonly tokens?: number | undefined;
  /** Rows and tokens of a training batch. Default 8 × 256, fewer rows where memory or patience asks for it. */
  readonly batch?: number | undefined;
  readonly sequence?: number | undefined;
  /** Seconds that each measurement takes, at least one sample; default 2. */
  readonly seconds?: number | undefined;
  /** How the matrices are kept in memory; default f32. Training keeps f32. */
  readonly weightStorage?: WeightStorage | undefined;
  /** Also time every kernel of a prompt and of a decoding step. Default false. */
  readonly profile?: boolean | undefined;
  /** Called before each measurement. */
  readonly progress?: (what: string) => void;
}

/** Tokens that are decoded for one sample. */
const DECODED = 32;
/** Training is skipped above: a WebAssembly memory has at most 4 GiB. */
const MOST_BYTES = 3 * 2 ** 30;
/** Of a training step whose size nobody has asked for. */
const MOST_SECONDS = 4;

const seconds = async (run: () => Promise<unknown>): Promise<number> => {
  const start = performance.now();
  await run();
  return (performance.now() - start) / 1000;
};

/** Seconds of repeated runs after one to warm up: as many as fit into `budget`, 3 to 50. */
async function sample(run: () => Promise<unknown>, budget: number): Promise<number[]> {
  await run();
  const samples: number[] = [];
  let spent = 0;
  while (samples.length < 50 && (samples.length < 3 || spent < budget)) {
    const elapsed = await seconds(run);
    samples.push(elapsed);
    spent += elapsed;
    // Three runs of a large model are enough to wait for.
    if (spent > 5 * budget) break;
  }
  return samples;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/** Best seconds of a program that reads one weight of `shape`, packed for products or not. */
async function bestSeconds(
  runtime: Runtime,
  shape: readonly [number, number],
  build: (weight: Tensor) => Tensor,
  inputs: Readonly<Record<string, HostArray>>,
): Promise<number> {
  const graph = makeGraph({ outputs: [{ name: "y", tensor: build(parameter("w", shape, { kind: "zeros" })) }] });
  const buffer = runtime.buffer({ shape, dtype: "f32" }, undefined, { packed: "x" in inputs });
  const program = await runtime.compile(graph, { bindings: { B: 1, T: 1, C: 1 }, buffers: new Map([["w", buffer]]) });
  try {
    // A ceiling is what a quiet moment shows: several short looks.
    const looks: number[] = [];
    for (let look = 0; look < 3; look++) looks.push(...(await sample(() => program.run(inputs), 0.15)));
    return Math.min(...looks);
  } finally {
    program.free();
    buffer.free();
  }
}

/** Measures memory and arithmetic through the runtime; takes about a second. */
export async function measureMachine(runtime: Runtime): Promise<MachineReport> {
  const [rows, columns, side] = [4096, 8192, 1024];
  const read = await bestSeconds(runtime, [rows, columns], (w) => reduce(w, "sum"), {});
  const x = new Float32Array(side * side);
  // Summed, so that the product itself need not be copied out.
  const product = await bestSeconds(runtime, [side, side], (w) => reduce(linear(input("x", [side, side]), w), "sum"), {
    x,
  });
  return { bytes_per_second: (4 * rows * columns) / read, flops_per_second: (2 * side ** 3) / product };
}

/** Random token ids, the same each time. */
function randomTokens(count: number, vocabulary: number): Int32Array {
  const random = Random.fromSeed(0).split("bench");
  return Int32Array.from({ length: count }, () => random.integer(0, vocabulary));
}

/**
 * Measures prefill, decoding and a training step with initial weights.
 * @throws ModelError for sequences longer than learned positions, RuntimeError where memory does not suffice.
 */
export async function measure(
  spec: ArchitectureSpec,
  runtime: Runtime,
  options: MeasureOptions = {},
): Promise<SpeedReport> {
  const { seconds: budget = 2, progress = () => {} } = options;
  const limit = spec.positions?.max_length ?? Number.POSITIVE_INFINITY;
  const tokens = options.tokens ?? Math.max(1, Math.min(512, limit - DECODED));
  const sequence = options.sequence ?? Math.min(256, limit);
  const estimator = createEstimator(spec);
  const parameters = estimator.parameters.reduce((sum, one) => sum + sizeOfParameter(one), 0);
  progress("memory and arithmetic of the machine");
  const machine = await measureMachine(runtime);
  const report = (
    what: MeasurementReport["what"],
    batch: number,
    length: number,
    samples: readonly number[],
    flops: number,
    bytesPerToken: number,
  ): MeasurementReport => ({
    what,
    batch,
    tokens: length,
    tokens_per_second: median(samples),
    samples,
    arithmetic_limit: machine.flops_per_second / flops,
    memory_limit: machine.bytes_per_second / bytesPerToken,
  });

  const { flops_per_token: flops, state } = estimator.at(tokens);
  const profiles: ProfileReport[] = [];
  const measurements = await measureInference();
  const skipped: SkippedReport[] = [];
  const achieved = (measurements[0]?.tokens_per_second ?? 0) * flops.prefill;
  const batch = options.batch ?? fittingBatch(estimator, sequence, achieved);
  if (batch === 0) {
    const { total } = estimator.at(sequence).training_memory;
    skipped.push({
      what: "training",
      reason: `needs ${(total / 2 ** 30).toFixed(1)} GiB for one sequence of ${sequence} tokens`,
    });
  } else {
    progress(`training on ${batch} × ${sequence} tokens`);
    const samples = await measureTraining(spec, runtime, batch, sequence, budget);
    // Forward and backward pass read the weights and write gradients; AdamW reads four values and writes three.
    const bytesPerStep = 4 * parameters * (2 + 1 + 4 + 3);
    const work = estimator.at(sequence).flops_per_token.training;
    measurements.push(report("training", batch, sequence, samples, work, bytesPerStep / (batch * sequence)));
  }
  const result = { name: spec.name, parameters, runtime: runtime.description, machine, measurements, skipped };
  return options.profile === true ? { ...result, profiles } : result;

  async function measureInference(): Promise<MeasurementReport[]> {
    const model = await createModel(spec, { runtime, weightStorage: options.weightStorage });
    try {
      const prompt = randomTokens(tokens, spec.vocab_size);
      const fresh = () => model.createState(1, { context: tokens + DECODED });
      progress(`prefill of ${tokens} tokens`);
      const prefill = await sample(() => model.forward(prompt, { state: fresh(), logits: "last" }), budget);
      progress(`decoding at ${tokens} tokens`);
      const start = fresh();
      await model.forward(prompt, { state: start, logits: "last" });
      const decode: number[] = [];
      for (let spent = 0; decode.length < 4 || (spent < budget && decode.length < 50); ) {
        const copy = await start.clone();
        const elapsed = await seconds(async () => {
          for (const token of prompt.subarray(0, DECODED))
            await model.forward([token], { state: copy, logits: "last" });
        });
        spent += elapsed;
        decode.push(elapsed / Math.min(DECODED, tokens));
      }
      for (const what of options.profile === true ? (["prefill", "decode"] as const) : []) {
        progress(`kernels of ${what}`);
        const length = what === "prefill" ? tokens : 1;
        const { explanations, launches } = await model.profile({ length, context: tokens + DECODED });
        profiles.push({ what, tokens: length, kernels: reportKernels(explanations, launches) });
      }
      const active = estimator.parameters.reduce((sum, one) => sum + activeSize(one, estimator.used), 0);
      return [
        report(
          "prefill",
          1,
          tokens,
          prefill.map((time) => tokens / time),
          flops.prefill,
          (4 * parameters + state.total) / tokens,
        ),
        // The first round compiles.
        report(
          "decode",
          1,
          tokens,
          decode.slice(1).map((time) => 1 / time),
          flops.decode,
          4 * active + state.total,
        ),
      ];
    } finally {
      await model.close();
    }
  }
}

/**
 * The most rows, 8 at most, with which training fits into memory and a step, at a prompt's FLOPs per second, takes no longer
 * than one waits for; 0 where not even one row fits.
 */
function fittingBatch(estimator: Estimator, sequence: number, flopsPerSecond: number): number {
  const { training_memory, flops_per_token } = estimator.at(sequence);
  const { parameters, activations } = training_memory;
  const fitting = [8, 4, 2, 1].filter((rows) => parameters + rows * activations <= MOST_BYTES);
  const quick = fitting.find((rows) => rows * sequence * flops_per_token.training <= MOST_SECONDS * flopsPerSecond);
  return quick ?? fitting.at(-1) ?? 0;
}

async function measureTraining(
  spec: ArchitectureSpec,
  runtime: Runtime,
  batch: number,
  length: number,
  budget: number,
): Promise<number[]> {
  const tokens = randomTokens(4 * batch * length + 1, spec.vocab_size);
  const random = Random.fromSeed(0).split("order");
  const trainer = await Trainer.create({
    spec,
    runtime,
    batches: textBatches(tokens, { batch, length, order: "random", random }),
    gradientClip: 1,
    accumulation: 1,
    checkpointing: false,
    seed: 0,
    betas: [0.9, 0.95],
    eps: 1e-8,
    weightDecay: 0.1,
  });
  try {
    const samples = await sample(() => trainer.trainStep(1e-4), budget);
    return samples.map((time) => (batch * length) / time);
  } finally {
    await trainer.close();
  }
}
