// Evaluates graphs of fixed shapes node by node, by the float64 references or by the wasm lowerings, or as a
// program on the GPU, and compares with expected numbers. Every test of an op runs through here, once per engine.
import { expect } from "vitest";
import { leafName, makeGraph, nodesOf } from "../../src/graph/graph.ts";
import { type ConstantAttributes, input } from "../../src/graph/leaves.ts";
import { type BoundType, sizeOf } from "../../src/graph/shape.ts";
import type { Tensor } from "../../src/graph/types.ts";
import { differentiate } from "../../src/ops/gradients.ts";
import { computeReference } from "../../src/ops/references.ts";
import type { WasmLowering } from "../../src/runtime/wasm/lowering.ts";
import { lowerings } from "../../src/runtime/wasm/table.ts";
import type { FixtureCase } from "./fixtures.ts";
import { type GpuRuntimeName, gpuRuntimes, nextGpuRuntime, testRuntime } from "./harness.ts";
import { type Build, builds, type HostInput, runLowered } from "./lowered.ts";

export interface Engine {
  readonly name: string;
  /** Neither for the reference. */
  readonly wasm?: { readonly build: Build; readonly threads: number };
  readonly gpu?: GpuRuntimeName;
}

export const wasmEngines: readonly Engine[] = builds.flatMap((build) =>
  [1, 2].map((threads) => ({ name: `${build}, ${threads} thread${threads > 1 ? "s" : ""}`, wasm: { build, threads } })),
);
export const gpuEngines: readonly Engine[] = gpuRuntimes.map((gpu) => ({ name: gpu, gpu }));
export const engines: readonly Engine[] = [{ name: "reference" }, ...wasmEngines, ...gpuEngines];

/** Values of `tensors`, whose graph has fixed shapes; `feed` gives its inputs by name. */
export async function evaluate(
  tensors: readonly Tensor[],
  feed: ReadonlyMap<string, HostInput>,
  engine: Engine = { name: "reference" },
): Promise<ArrayLike<number>[]> {
  return engine.gpu === undefined ? evaluateNodes(tensors, feed, engine) : evaluateOnGpu(tensors, feed, engine.gpu);
}

/** As one program, whose values are NaN before it runs. */
async function evaluateOnGpu(
  tensors: readonly Tensor[],
  feed: ReadonlyMap<string, HostInput>,
  name: GpuRuntimeName,
): Promise<ArrayLike<number>[]> {
  const runtime = await testRuntime(name);
  const graph = makeGraph({ outputs: tensors.map((tensor, i) => ({ name: String(i), tensor })) });
  const program = await runtime.compile(graph, { bindings: { B: 1, T: 1, C: 0 }, buffers: new Map(), poison: true });
  try {
    const inputs = graph.inputs.map(({ name: input }) => {
      const value = feed.get(input);
      if (value === undefined) throw new Error(`no value for input ${input}`);
      return [input, value.dtype === "i32" ? Int32Array.from(value.data) : Float32Array.from(value.data)] as const;
    });
    const outputs = await program.run(Object.fromEntries(inputs));
    return tensors.map((_, i) => outputs[String(i)] ?? []);
  } finally {
    program.free();
  }
}

function evaluateNodes(
  tensors: readonly Tensor[],
  feed: ReadonlyMap<string, HostInput>,
  engine: Engine,
): ArrayLike<number>[] {
  const values = new Map<Tensor, HostInput>();
  for (const node of nodesOf(tensors)) {
    const inputs = node.inputs.map((tensor) => tensor && values.get(tensor));
    const [first] = node.outputs;
    if (first === undefined) continue;
    const type = first as BoundType;
    if (node.op.leaf === "constant")
      values.set(first, { ...type, data: (node.attributes as ConstantAttributes).values });
    else if (node.op.leaf !== undefined) {
      const value = feed.get(leafName(node));
      if (value === undefined) throw new Error(`no value for input ${leafName(node)}`);
      values.set(first, value);
    } else if (node.op.view) values.set(first, { ...type, data: inputs[0]?.data ?? [] });
    else if (engine.wasm === undefined) {
      const hosts = inputs.map(
        (value) =>
          value && {
            ...value,
            data: value.dtype === "i32" ? Int32Array.from(value.data) : Float64Array.from(value.data),
          },
      );
      for (const [i, result] of computeReference(node, hosts, node.attributes).entries()) {
        const output = node.outputs[i];
        if (output !== undefined) values.set(output, result);
      }
    } else {
      const lower = (lowerings as Readonly<Record<string, WasmLowering<unknown>>>)[node.op.name];
      if (lower === undefined) throw new Error(`${node.op.name} has no lowering`);
      for (const [i, data] of runLowered(node.op, lower, inputs, node.attributes, engine.wasm).entries()) {
        const output = node.outputs[i];
        if (output !== undefined && data !== undefined) values.set(output, { ...(output as BoundType), data });
      }
    }
  }
  return tensors.map((tensor) => values.get(tensor)?.data ?? []);
}

/** Expects max |actual − expected| ≤ tolerance · max(max |expected|, 1e-6); NaN only where it is expected. */
export function expectClose(
  what: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
): void {
  expect(actual.length, `${what}: length`).toBe(expected.length);
  let largest = 1e-6;
  for (let i = 0; i < expected.length; i++)
    if (Math.abs(expected[i] ?? 0) > largest) largest = Math.abs(expected[i] ?? 0);
  for (let i = 0; i < expected.length; i++) {
    const [a, e] = [actual[i] ?? Number.NaN, expected[i] ?? Number.NaN];
    const close = Number.isNaN(e) ? Number.isNaN(a) : a === e || Math.abs(a - e) <= tolerance * largest;
    if (!close) expect.fail(`${what}[${i}] is ${a}, expected ${e} (tolerance ${tolerance} of ${largest})`);
  }
}

/** The case's inputs as graph inputs. */
export function inputsOf(fixture: FixtureCase): Map<string, Tensor> {
  return new Map(
    fixture.inputs.map((name) => {
      const { shape, dtype } = fixture.tensors.get(name) ?? { shape: [], dtype: "f32" as const };
      return [name, input(name, shape, dtype)];
    }),
  );
}

/** Expects `build` applied to the case's inputs to give its outputs, and differentiation its gradients. */
export async function checkFixture(
  fixture: FixtureCase,
  engine: Engine,
  build: (inputs: ReadonlyMap<string, Tensor>) => Readonly<Record<string, Tensor>>,
): Promise<void> {
  const inputs = inputsOf(fixture);
  const built = build(inputs);
  const outputs = fixture.outputs.map((name) => {
    const tensor = built[name];
    if (tensor === undefined) throw new Error(`no output ${name}`);
    return { name, tensor };
  });
  const seeds = outputs.flatMap(({ name, tensor }) =>
    fixture.upstream.includes(`d${name}`) ? [{ tensor, gradient: input(`d${name}`, tensor.shape) }] : [],
  );
  const wrt = fixture.grads.map((grad) => {
    const tensor = inputs.get(grad.replace("grad.", ""));
    if (tensor === undefined) throw new Error(`no input for ${grad}`);
    return tensor;
  });
  const gradients = differentiate(seeds, wrt);
  const wanted = [...outputs.map((o) => o.tensor), ...gradients.map((g, i) => g ?? wrt[i])].filter(
    (t) => t !== undefined,
  );
  const values = await evaluate(wanted, fixture.tensors, engine);
  for (const [i, name] of [...fixture.outputs, ...fixture.grads].entries()) {
    expectClose(`${fixture.name} ${name}`, values[i] ?? [], fixture.tensors.get(name)?.data ?? [], fixture.tolerance);
  }
}

/** Reproducible numbers, uniform in [-2, 2), exact in f32. */
export function numbers(size: number, seed = 1): Float32Array {
  let state = (Math.imul(seed, 2654435761) + 12345) >>> 0;
  return Float32Array.from({ length: size }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 30 - 2;
  });
}

/** Inputs filled with {@link numbers}, by name. */
export function feedOf(shapes: Readonly<Record<string, readonly number[]>>, seed = 1): Map<string, HostInput> {
  return new Map(
    Object.entries(shapes).map(([name, shape], i) => [
      name,
      { shape, dtype: "f32", data: numbers(sizeOf(shape), seed + 17 * i) },
    ]),
  );
}

/** Expects every engine (the GPU's in turns) to give what the reference gives. */
export async function expectEnginesAgree(
  tensors: readonly Tensor[],
  feed: ReadonlyMap<string, HostInput>,
  tolerance = 2e-5,
): Promise<void> {
  const expected = await evaluate(tensors, feed);
  const gpu = nextGpuRuntime();
  for (const engine of [...wasmEngines, { name: gpu, gpu }]) {
    for (const [i, actual] of (await evaluate(tensors, feed, engine)).entries()) {
      expectClose(`${engine.name}: tensor ${i}`, actual, expected[i] ?? [], tolerance);
    }
  }
}

/** Expects the gradients that differentiation gives for a sum of products of `outputs` with fixed numbers to be finite differences. */
export async function expectGradients(
  outputs: readonly Tensor[],
  wrt: readonly Tensor[],
  feed: ReadonlyMap<string, HostInput>,
  tolerance = 1e-6,
): Promise<void> {
  const upstream = outputs.map((tensor, i) => numbers(sizeOf(tensor.shape as readonly number[]), 1000 + i));
  const seeds = outputs.map((tensor, i) => ({ tensor, gradient: input(`upstream ${i}`, tensor.shape) }));
  const all = new Map(feed);
  for (const [i, tensor] of outputs.entries()) {
    all.set(`upstream ${i}`, { ...(tensor as BoundType), data: upstream[i] ?? [] });
  }
  const gradients = differentiate(seeds, wrt);
  const loss = (changed: ReadonlyMap<string, HostInput>): number =>
    evaluateNodes(outputs, changed, { name: "reference" }).reduce(
      (total, y, i) => total + Array.from(y).reduce((sum, v, k) => sum + v * (upstream[i]?.[k] ?? 0), 0),
      0,
    );
  for (const [i, leaf] of wrt.entries()) {
    const name = leafName(leaf.node);
    const value = feed.get(name);
    const gradient = gradients[i];
    if (value === undefined || gradient === undefined) throw new Error(`no value or gradient for ${name}`);
    const [analytic] = await evaluate([gradient], all);
    const step = 1e-4;
    const numeric = Array.from(value.data, (v, k) => {
      const at = (x: number): number => {
        const data = Float64Array.from(value.data);
        data[k] = x;
        return loss(new Map(feed).set(name, { ...value, data }));
      };
      return (at(v + step) - at(v - step)) / (2 * step);
    });
    expectClose(`gradient of ${name}`, analytic ?? [], numeric, tolerance);
  }
}
