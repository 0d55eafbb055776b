// The tuner measures the candidates of a kernel once for each adapter and shape, and programs compiled later use what it found.
import { afterAll, expect, test } from "vitest";
import { makeGraph } from "../../../src/graph/graph.ts";
import { input } from "../../../src/graph/leaves.ts";
import { matmul } from "../../../src/ops/matmul/op.ts";
import { openDevice } from "../../../src/runtime/webgpu/device.ts";
import { currentGpuHost, type GpuHost } from "../../../src/runtime/webgpu/host.ts";
import { PipelineCache } from "../../../src/runtime/webgpu/pipelines.ts";
import { compileProgram, type Machine } from "../../../src/runtime/webgpu/program.ts";
import { compileTuned } from "../../../src/runtime/webgpu/tune.ts";
import { Tuner } from "../../../src/runtime/webgpu/tuner.ts";
import { expectClose, numbers } from "../../ops/evaluate.ts";

const real = await currentGpuHost();
const context = await openDevice(real, { adapter: "software" });
afterAll(() => context.device.destroy());
const pipelines = new PipelineCache(context, await real.kernels());

/** A host that remembers in memory. */
function memory(kept = new Map<string, string>()): GpuHost {
  return {
    ...real,
    recall: async (name) => kept.get(name),
    keep: async (name, text) => void kept.set(name, text),
  };
}

const machineOf = async (host: GpuHost): Promise<Machine> => ({
  context,
  pipelines,
  activations: "f32",
  tuner: await Tuner.open(host, context.key),
});

// 64 tiles of 64 × 64: three candidates.
const [m, n, k] = [512, 500, 8];
const graph = makeGraph({ outputs: [{ name: "y", tensor: matmul(input("a", [m, k]), input("b", [k, n])) }] });
const options = { bindings: { B: 1, T: 1, C: 0 }, buffers: new Map() };
const key = "matmul NN 512x512x8 f32";
const feed = { a: numbers(m * k, 1), b: numbers(k * n, 2) };

test("what was not measured takes the first candidate, and what is measured is kept", async () => {
  const host = memory();
  const machine = await machineOf(host);
  const untuned = await compileProgram(graph, options, machine);
  expect(untuned.explain()[0]?.kernels).toEqual(["matmul/tiled (64 × 64 tiles, 8 × 8 a thread)"]);
  expect(machine.tuner.knows(key)).toBe(false);
  const tuned = await compileTuned(graph, options, machine);
  expect(machine.tuner.knows(key)).toBe(true);
  expect(machine.tuner.questions()).toEqual([]);
  expect((await machineOf(host)).tuner.knows(key)).toBe(true);
  const [expected, actual] = [await untuned.run(feed), await tuned.run(feed)];
  expectClose("product", actual.y ?? [], expected.y ?? [], 2e-5);
  for (const program of [untuned, tuned]) program.free();
});

test("every candidate gives the same product", async () => {
  const machine = await machineOf(memory());
  const products: ArrayLike<number>[] = [];
  const kernels = new Set<string>();
  for (let candidate = 0; candidate < 3; candidate++) {
    await machine.tuner.learn(key, candidate);
    const program = await compileProgram(graph, options, machine);
    products.push((await program.run(feed)).y ?? []);
    kernels.add(program.explain()[0]?.kernels.join() ?? "");
    program.free();
  }
  expect(kernels.size).toBe(3);
  for (const product of products) expectClose("product", product, products[0] ?? [], 2e-5);
});
