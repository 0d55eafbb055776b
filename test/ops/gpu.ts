// What tests of single ops ask of the GPU beyond agreement of engines: tensors larger than a binding, which kernels a program
// has, and weights in narrow storage.
import { expect } from "vitest";
import { makeGraph } from "../../src/graph/graph.ts";
import { sizeOf } from "../../src/graph/shape.ts";
import type { Tensor } from "../../src/graph/types.ts";
import type { Buffer, HostArray, Runtime } from "../../src/runtime/types.ts";
import { createWebGpuRuntime } from "../../src/runtime/webgpu/runtime.ts";
import { type Engine, evaluate, expectClose } from "./evaluate.ts";
import type { HostInput } from "./lowered.ts";

export interface GpuRun {
  readonly outputs: readonly ArrayLike<number>[];
  /** Of all steps, with their reasons. */
  readonly kernels: readonly string[];
}

/** Runs `tensors`, whose shapes are fixed, as one program that starts with NaN in all its memory. */
export async function runOn(
  runtime: Runtime,
  tensors: readonly Tensor[],
  feed: ReadonlyMap<string, HostInput>,
  buffers: ReadonlyMap<string, Buffer> = new Map(),
): Promise<GpuRun> {
  const graph = makeGraph({ outputs: tensors.map((tensor, i) => ({ name: String(i), tensor })) });
  const program = await runtime.compile(graph, { bindings: { B: 1, T: 1, C: 0 }, buffers, poison: true });
  try {
    const values: Record<string, HostArray> = {};
    for (const { name } of graph.inputs) {
      const { dtype, data } = feed.get(name) ?? { dtype: "f32", data: [] };
      values[name] = dtype === "i32" ? Int32Array.from(data) : Float32Array.from(data);
    }
    const outputs = await program.run(values);
    const kernels = program.explain().flatMap((step) => step.kernels);
    return { outputs: tensors.map((_, i) => outputs[String(i)] ?? []), kernels };
  } finally {
    program.free();
  }
}

/** Expects the reference's numbers where at most `maxBinding` bytes can be bound at once, less than the largest tensor has. */
export async function expectCut(
  tensors: readonly Tensor[],
  feed: ReadonlyMap<string, HostInput>,
  { tolerance = 2e-5, maxBinding = 32768 } = {},
): Promise<void> {
  const sizes = [...feed.values(), ...tensors].map(({ shape }) => sizeOf(shape as readonly number[]));
  expect(4 * Math.max(...sizes)).toBeGreaterThan(maxBinding);
  const runtime = await createWebGpuRuntime({ adapter: "software", maxBinding });
  try {
    const expected = await evaluate(tensors, feed);
    const { outputs } = await runOn(runtime, tensors, feed);
    for (const [i, actual] of outputs.entries())
      expectClose(`in parts: tensor ${i}`, actual, expected[i] ?? [], tolerance);
  } finally {
    await runtime.close();
  }
}

/** Expects these engines to give what the reference gives. */
export async function expectAgreement(
  engines: readonly (Engine | undefined)[],
  tensors: readonly Tensor[],
  feed: ReadonlyMap<string, HostInput>,
  tolerance = 2e-5,
): Promise<void> {
  const expected = await evaluate(tensors, feed);
  for (const engine of engines) {
    if (engine === undefined) continue;
    for (const [i, actual] of (await evaluate(tensors, feed, engine)).entries())
      expectClose(`${engine.name}: tensor ${i}`, actual, expected[i] ?? [], tolerance);
  }
}
