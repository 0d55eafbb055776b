// What the GPU benchmarks share: our runtime and onnxruntime's WebGPU provider on one device, the same numbers in and out.
// Both are handed inputs from the host and give their outputs back to it, so transfers count on both sides.
// The device is the one that Vulkan finds: VK_ICD_FILENAMES=/usr/share/vulkan/icd.d/lvp_icd.json for Mesa's lavapipe.
import { InferenceSession, Tensor as OnnxTensor } from "onnxruntime-node";
import { makeGraph } from "../src/graph/graph.ts";
import { input } from "../src/graph/leaves.ts";
import type { Tensor } from "../src/graph/types.ts";
import type { HostArray, Program, Runtime } from "../src/runtime/types.ts";
import { createWebGpuRuntime } from "../src/runtime/webgpu/runtime.ts";
import { compare } from "./compare.ts";
import type { Contender } from "./harness.ts";
import { encodeOnnx, type OnnxModel } from "./peers.ts";

export interface GpuInput {
  readonly shape: readonly number[];
  readonly data: HostArray;
}

/** Reproducible numbers, uniform in [low, high). */
export function uniform(
  shape: readonly number[],
  low: number,
  high: number,
  seed = 1,
): GpuInput & { data: Float32Array } {
  const size = shape.reduce((n, d) => n * d, 1);
  let state = (Math.imul(seed, 2654435761) + 12345) >>> 0;
  const data = Float32Array.from({ length: size }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return low + ((high - low) * state) / 2 ** 32;
  });
  return { shape, data };
}

/** The GPU of this process, software ones too. */
export async function openGpu(): Promise<Runtime> {
  const runtime = await createWebGpuRuntime({ adapter: "software" });
  console.log(runtime.description);
  return runtime;
}

export interface GpuOp {
  readonly program: Program;
  readonly values: Readonly<Record<string, HostArray>>;
  contender(name: string): Contender;
}

/** A few ops as a program: `build` gets the inputs as graph inputs. */
export async function gpuOp(
  runtime: Runtime,
  inputs: Readonly<Record<string, GpuInput>>,
  build: (inputs: Readonly<Record<string, Tensor>>) => Readonly<Record<string, Tensor>>,
): Promise<GpuOp> {
  const tensors = Object.fromEntries(
    Object.entries(inputs).map(([name, { shape, data }]) => [
      name,
      input(name, shape, data instanceof Int32Array ? "i32" : "f32"),
    ]),
  );
  const outputs = Object.entries(build(tensors)).map(([name, tensor]) => ({ name, tensor }));
  // Programs of few tokens are compiled to few dispatches.
  const tokens = Math.max(1, ...Object.values(inputs).map(({ shape }) => shape[1] ?? 1));
  const bindings = { B: 1, T: tokens, C: 0 };
  const program = await runtime.compile(makeGraph({ outputs }), { bindings, buffers: new Map() });
  const values = Object.fromEntries(Object.entries(inputs).map(([name, { data }]) => [name, data]));
  return { program, values, contender: (name) => ({ name, run: () => program.run(values) }) };
}

export interface OnnxOp {
  readonly session: InferenceSession;
  readonly feeds: Readonly<Record<string, OnnxTensor>>;
  contender(name?: string): Contender;
}

/** The peer: onnxruntime-node's WebGPU provider. Names and shapes of `inputs` are those of the model. */
export async function onnxGpuOp(model: OnnxModel, inputs: Readonly<Record<string, GpuInput>>): Promise<OnnxOp> {
  const session = await InferenceSession.create(encodeOnnx(model), {
    executionProviders: ["webgpu"],
    graphOptimizationLevel: "all",
  });
  const feeds = Object.fromEntries(
    Object.entries(inputs).map(([name, { shape, data }]) => [
      name,
      data instanceof Int32Array ? new OnnxTensor("int32", data, shape) : new OnnxTensor("float32", data, shape),
    ]),
  );
  return { session, feeds, contender: (name = "onnxruntime, WebGPU") => ({ name, run: () => session.run(feeds) }) };
}

/** Throws where an output of ours and the peer's differ by more than `tolerance` of the largest. */
export async function requireEqual(
  ours: GpuOp,
  theirs: OnnxOp,
  pairs: readonly (readonly [ours: string, theirs: string])[],
  tolerance = 1e-3,
): Promise<void> {
  const [a, b] = [await ours.program.run(ours.values), await theirs.session.run(theirs.feeds)];
  for (const [mine, other] of pairs) {
    compare(`${mine} of ours and ${other}`, a[mine] ?? [], (b[other]?.data ?? []) as Float32Array, tolerance);
  }
}
