// A model's training step as a folder: loss and gradients in one ONNX graph, and beside it the weights that it is fed, as a model
// that every command opens. onnxruntime computes a step before the folder appears.
import { mkdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Tensor } from "onnxruntime-node";
import { parameterShapes } from "../../formats/huggingface/import.ts";
import { writeTextAtomic } from "../../formats/node/atomic-file.ts";
import { makeFolderAtomic } from "../../formats/node/atomic-folder.ts";
import { OnnxError } from "../../formats/onnx/error.ts";
import {
  INSTALL_ONNXRUNTIME,
  loadOnnxRuntime,
  type OnnxRuntime,
  refused,
  runtimeName,
} from "../../formats/onnx/node/runtime.ts";
import { writeOnnxModel } from "../../formats/onnx/node/write.ts";
import { writeSafetensorsFile } from "../../formats/safetensors/node/file.ts";
import { compareValues } from "../../model/compare.ts";
import { type WeightSource, weightOf } from "../../model/create.ts";
import { ARCHITECTURE_FILE, WEIGHTS_FILE, weightsMetadata } from "../../model/files.ts";
import { type LossGradients, lossAndGradients, nextTokens } from "../../model/gradients.ts";
import { specHash } from "../../model/hash.ts";
import { openModel } from "../../model/node/files.ts";
import { copyTextFiles } from "../../model/node/huggingface.ts";
import { ONNX_FOLDER, RECORD_FILE } from "../../model/node/onnx.ts";
import { createWasmRuntime } from "../../runtime/wasm/runtime.ts";
import { stringifySpec } from "../../spec/load.ts";
import type { ArchitectureSpec } from "../../spec/types.ts";
import { buildOnnxTraining, gradientOutput } from "../onnx.ts";

export const TRAINING_FILE = "training.onnx";

const BATCH = 2;
const LENGTH = 12;
/** Largest error of a gradient relative to its largest number, and of the loss. */
const TOLERANCE = 1e-3;
/** Gradients that are nothing but rounding are compared with this. */
const FLOOR = 1e-4;

export interface TrainingVerification {
  readonly runtime: string;
  readonly loss: number;
  /** Largest error relative to the largest number of the same gradient. */
  readonly error: number;
  /** The gradient that has it, or `loss`. */
  readonly worst: string;
  readonly tolerance: number;
  /** Gradients that were compared. */
  readonly gradients: number;
  readonly ok: boolean;
}

export interface TrainingExportOptions {
  readonly verify: boolean;
  readonly version: string;
  readonly signal?: AbortSignal;
  readonly onStage?: (text: string) => void;
}

export interface TrainingExport {
  readonly files: readonly string[];
  readonly bytes: number;
  readonly textFiles: readonly string[];
  readonly verification: TrainingVerification | undefined;
  readonly unverified: string | undefined;
}

/**
 * Writes the training step of the model in the folder `from`, with its weights as f32, as a folder `out`.
 * @throws OnnxError for what has no backward pass in ONNX or computes something else, and as `exportOnnx`
 */
export async function exportOnnxTraining(
  from: string,
  out: string,
  { verify, version, signal, onStage }: TrainingExportOptions,
): Promise<TrainingExport> {
  const { spec, weights, close } = await openModel(from);
  try {
    const training = buildOnnxTraining(spec, (name) => weightOf(weights, name));
    return await makeFolderAtomic(out, async (folder) => {
      const path = join(folder, ONNX_FOLDER, TRAINING_FILE);
      await mkdir(dirname(path), { recursive: true });
      onStage?.(`writing ${ONNX_FOLDER}/${TRAINING_FILE}`);
      const shards = await writeOnnxModel(training, path, { signal });
      const names = [TRAINING_FILE, ...shards].map((name) => `${ONNX_FOLDER}/${name}`);
      await writeWeights(spec, weights, folder, signal);
      const runtime = verify ? await loadOnnxRuntime() : undefined;
      onStage?.("verifying it in onnxruntime");
      const verification = runtime && (await verifyTraining(path, spec, weights, runtime));
      if (verification?.ok === false)
        throw new OnnxError(`${describeTraining(verification)}; nothing was written (--no-verify writes it anyway)`);
      const unverified = verify ? `onnxruntime-node is not installed (${INSTALL_ONNXRUNTIME})` : "--no-verify";
      const facts = { kind: "training", dialect: "portable", dtype: "f32", verified: verification !== undefined };
      const record = {
        ...{ hybraid: version, architecture: spec.name, spec_hash: specHash(spec) },
        files: { [`${ONNX_FOLDER}/${TRAINING_FILE}`]: { ...facts, ...verification } },
      };
      await writeTextAtomic(join(folder, RECORD_FILE), `${JSON.stringify(record, null, 2)}\n`);
      const textFiles = await copyTextFiles(from, folder);
      signal?.throwIfAborted();
      const files = [...names, WEIGHTS_FILE, ARCHITECTURE_FILE];
      const sizes = await Promise.all(files.map(async (name) => (await stat(join(folder, name))).size));
      const bytes = sizes.reduce((sum, size) => sum + size, 0);
      return { files, bytes, textFiles, verification, unverified: verification === undefined ? unverified : undefined };
    });
  } finally {
    await close();
  }
}

/** The model itself, so that the graph's inputs can be fed and every command opens the folder. */
async function writeWeights(
  spec: ArchitectureSpec,
  weights: WeightSource,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const tensors = [...parameterShapes(spec)].map(([name, shape]) => {
    async function* data(): AsyncGenerator<ArrayBufferView> {
      signal?.throwIfAborted();
      yield await weightOf(weights, name);
    }
    return { name, dtype: "F32" as const, shape, data };
  });
  await writeSafetensorsFile(join(folder, WEIGHTS_FILE), tensors, weightsMetadata(spec));
  await writeTextAtomic(join(folder, ARCHITECTURE_FILE), stringifySpec(spec));
}

/** Has onnxruntime compute loss and gradients for random tokens, and compares them with ours. */
export async function verifyTraining(
  path: string,
  spec: ArchitectureSpec,
  weights: WeightSource,
  runtime: OnnxRuntime,
): Promise<TrainingVerification> {
  const length = Math.min(LENGTH, spec.positions?.max_length ?? LENGTH);
  const tokens = Int32Array.from({ length: BATCH * length }, (_, i) => (i * 7919 + 13) % spec.vocab_size);
  const ours = await stepHere(spec, weights, tokens, length);
  const theirs = await stepThere(path, spec, weights, runtime, [tokens, nextTokens(tokens, length)]);
  let [error, worst, gradients] = [0, "loss", 0];
  const compare = (name: string, actual: ArrayLike<number>, expected: ArrayLike<number>): void => {
    const { absolute, relative } = compareValues(name, [expected.length], actual, expected);
    const distance = Math.min(relative, absolute / FLOOR);
    if (distance > error) [error, worst] = [distance, name];
  };
  const loss = theirs.get("loss") ?? [];
  compare("loss", loss, [ours.loss]);
  for (const [name, actual] of theirs) {
    if (!name.startsWith(gradientOutput(""))) continue;
    const expected = ours.gradients.get(name.slice(gradientOutput("").length));
    // What the loss does not depend on has zeros there and nothing here.
    compare(name, actual, expected ?? new Float32Array(actual.length));
    gradients++;
  }
  const by = runtimeName(runtime);
  return {
    runtime: by,
    loss: loss[0] ?? Number.NaN,
    error,
    worst,
    tolerance: TOLERANCE,
    gradients,
    ok: error <= TOLERANCE,
  };
}

/** Loss and gradients by our wasm runtime. */
async function stepHere(
  spec: ArchitectureSpec,
  weights: WeightSource,
  tokens: Int32Array,
  length: number,
): Promise<LossGradients> {
  const runtime = await createWasmRuntime({});
  try {
    return await lossAndGradients(spec, runtime, weights, tokens, [BATCH, length], "objective");
  } finally {
    await runtime.close();
  }
}

/** The outputs of the graph. */
async function stepThere(
  path: string,
  spec: ArchitectureSpec,
  weights: WeightSource,
  runtime: OnnxRuntime,
  [tokens, labels]: readonly [Int32Array, Int32Array],
): Promise<ReadonlyMap<string, Float32Array>> {
  const int64 = (values: Int32Array): Tensor =>
    new runtime.Tensor("int64", BigInt64Array.from(values, BigInt), [BATCH, values.length / BATCH]);
  const shapes = parameterShapes(spec);
  const feed: Record<string, Tensor> = { input_ids: int64(tokens), labels: int64(labels) };
  const session = await refused(path, "portable", () => runtime.InferenceSession.create(path, { logSeverityLevel: 4 }));
  try {
    for (const name of session.inputNames) {
      const shape = shapes.get(name);
      if (shape !== undefined) feed[name] = new runtime.Tensor("float32", await weightOf(weights, name), shape);
    }
    const results = await refused(path, "portable", () => session.run(feed));
    return new Map(Object.entries(results).map(([name, { data }]) => [name, data as Float32Array]));
  } finally {
    await session.release();
  }
}

/** One line on what was found. */
export function describeTraining({ runtime, error, worst, tolerance, gradients, ok }: TrainingVerification): string {
  return (
    `${ok ? "verified with" : "DIFFERS in"} ${runtime}: loss and ${gradients} gradients, largest error ` +
    `${error.toExponential(1)} of the largest number (${worst}; allowed ${tolerance})`
  );
}
