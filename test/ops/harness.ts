// One test body per op, run for each runtime: builds a graph from a function, computes outputs and every gradient on the
// reference (float64), on each build and thread count of the WebAssembly runtime and on the GPU, and compares them; gradients of the
// reference are checked against central finite differences.
import { afterAll, expect } from "vitest";
import { makeGraph } from "../../src/graph/graph.ts";
import { input } from "../../src/graph/leaves.ts";
import { type Bindings, type BoundType, bindType, type DType, type Shape, sizeOf } from "../../src/graph/shape.ts";
import type { Graph, NamedTensor, Tensor } from "../../src/graph/types.ts";
import { differentiate } from "../../src/ops/gradients.ts";
import type { HostTensor } from "../../src/ops/types.ts";
import { evaluateGraph } from "../../src/runtime/reference/runtime.ts";
import type { HostArray, Runtime } from "../../src/runtime/types.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { createWebGpuRuntime } from "../../src/runtime/webgpu/runtime.ts";

export interface OpInput {
  readonly shape: Shape;
  readonly dtype?: DType;
  /** Values, or how to draw them: uniform in [low, high] (default −1 … 1). */
  readonly values?: ArrayLike<number>;
  readonly low?: number;
  readonly high?: number;
  /** Whether its gradient is checked; default true for f32. */
  readonly gradient?: boolean;
}

export interface OpCase {
  readonly inputs: Readonly<Record<string, OpInput>>;
  /** Applies ops to the inputs and returns the outputs by name. */
  readonly build: (inputs: Readonly<Record<string, Tensor>>) => Readonly<Record<string, Tensor>>;
  readonly bindings?: Partial<Bindings>;
  /** Upstream gradients by output; drawn at random for f32 outputs not given. An empty list of names checks no gradients. */
  readonly upstream?: Readonly<Record<string, ArrayLike<number>>>;
  /** Outputs that get an upstream gradient; default all f32 outputs. */
  readonly differentiated?: readonly string[];
  /** Expected results, e.g. from a fixture: outputs by name, gradients as `grad.<input>`. */
  readonly expected?: Readonly<Record<string, ArrayLike<number>>>;
  /** max|a − ref| ≤ tolerance · max(max|ref|, 1e-6); default 2e-5 for outputs, 1e-4 for gradients. */
  readonly tolerance?: { readonly outputs?: number; readonly gradients?: number };
  /** Compare the reference's gradients with finite differences; default true when the case has few elements. */
  readonly finiteDifferences?: boolean;
  /** Runtimes to compare with the reference; default every one of the CPU, and those of the GPU in turns. */
  readonly runtimes?: readonly RuntimeName[];
}

export type WasmRuntimeName = "simd/1" | "simd/2" | "relaxed/1" | "relaxed/2";
/** `webgpu/default`: at WebGPU's default limits and without optional features; `webgpu/adapter`: with all that there is. */
export type GpuRuntimeName = "webgpu/default" | "webgpu/adapter";
export type RuntimeName = WasmRuntimeName | GpuRuntimeName;
export const wasmRuntimes: readonly WasmRuntimeName[] = ["simd/1", "simd/2", "relaxed/1", "relaxed/2"];
export const gpuRuntimes: readonly GpuRuntimeName[] = ["webgpu/default", "webgpu/adapter"];
export const allRuntimes: readonly RuntimeName[] = [...wasmRuntimes, ...gpuRuntimes];

let gpuTurns = 0;
/** The GPU's runtimes in turns: the software GPU takes long to compile kernels, and cases come in series of a kind. */
export function nextGpuRuntime(): GpuRuntimeName {
  return gpuRuntimes[gpuTurns++ % gpuRuntimes.length] ?? "webgpu/default";
}

const runtimes = new Map<RuntimeName, Promise<Runtime>>();

/** The runtime of that build and thread count, one per test file. */
export function testRuntime(name: RuntimeName): Promise<Runtime> {
  let runtime = runtimes.get(name);
  if (runtime === undefined) {
    const [build, variant] = name.split("/");
    runtime =
      build === "webgpu"
        ? createWebGpuRuntime(
            variant === "default"
              ? { adapter: "software", limits: "default", subgroups: false, f16: false }
              : { adapter: "software" },
          )
        : createWasmRuntime({ build: build === "simd" ? "simd" : "relaxed", threads: Number(variant) });
    runtimes.set(name, runtime);
  }
  return runtime;
}

afterAll(async () => {
  for (const runtime of runtimes.values()) await (await runtime).close();
  runtimes.clear();
});

/** A small deterministic generator: uniform in [0, 1). */
export function generator(seed = 1): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Runs the case everywhere and compares. */
export async function checkOp(opCase: OpCase): Promise<void> {
  const bindings: Bindings = { B: 1, T: 1, C: 0, ...opCase.bindings };
  const draw = generator(7);
  const tensors: Record<string, Tensor> = {};
  const values = new Map<string, HostTensor>();
  const addInput = (name: string, type: BoundType, shape: Shape, data: ArrayLike<number> | (() => number)): void => {
    tensors[name] = input(name, shape, type.dtype);
    const size = sizeOf(type.shape);
    const numbers = Array.from({ length: size }, (_, i) => (typeof data === "function" ? data() : Number(data[i])));
    // Inputs are exact in float32, so that every runtime starts from the same numbers.
    values.set(name, {
      ...type,
      data: type.dtype === "i32" ? Int32Array.from(numbers) : Float64Array.from(Float32Array.from(numbers)),
    });
  };
  for (const [name, { shape, dtype = "f32", values: given, low = -1, high = 1 }] of Object.entries(opCase.inputs)) {
    const type = bindType({ shape, dtype }, bindings);
    addInput(name, type, shape, given ?? (() => low + (high - low) * draw()));
  }
  const outputs = opCase.build(tensors);
  const differentiated = opCase.differentiated ?? Object.keys(outputs).filter((name) => outputs[name]?.dtype === "f32");
  const seeds = differentiated.flatMap((name) => {
    const tensor = outputs[name];
    if (tensor === undefined) throw new Error(`no output ${name}`);
    const seedName = `upstream.${name}`;
    addInput(seedName, bindType(tensor, bindings), tensor.shape, opCase.upstream?.[name] ?? (() => 2 * draw() - 1));
    const gradient = tensors[seedName];
    return gradient === undefined ? [] : [{ name, tensor, gradient }];
  });
  const wrt = Object.entries(opCase.inputs)
    .filter(([, spec]) => (spec.dtype ?? "f32") === "f32" && spec.gradient !== false)
    .map(([name]) => name);
  const gradients =
    seeds.length === 0
      ? []
      : differentiate(
          seeds,
          wrt.map((name) => tensors[name]).filter((t) => t !== undefined),
        );
  const results: NamedTensor[] = Object.entries(outputs).map(([name, tensor]) => ({ name, tensor }));
  for (const [i, name] of wrt.entries()) {
    const tensor = gradients[i];
    if (tensor !== undefined) results.push({ name: `grad.${name}`, tensor });
  }
  const graph = makeGraph({ outputs: results });

  const reference = evaluate(graph, bindings, values);
  for (const [name, data] of Object.entries(opCase.expected ?? {})) {
    compare(`reference ${name}`, required(reference, name).data, data, toleranceOf(name, opCase));
  }
  const elements = wrt.reduce((n, name) => n + (values.get(name)?.data.length ?? 0), 0);
  if (seeds.length > 0 && (opCase.finiteDifferences ?? elements <= 120)) {
    const forward = makeGraph({ outputs: seeds.map(({ name, tensor }) => ({ name, tensor })) });
    for (const name of wrt) {
      const numeric = finiteDifferences(forward, bindings, values, name);
      const analytic = reference.get(`grad.${name}`)?.data ?? new Float64Array(numeric.length);
      compare(`finite differences of ${name}`, analytic, numeric, 1e-5);
    }
  }
  for (const runtimeName of opCase.runtimes ?? [...wasmRuntimes, nextGpuRuntime()]) {
    const runtime = await testRuntime(runtimeName);
    const program = await runtime.compile(graph, { bindings, buffers: new Map(), poison: true });
    const arrays: Record<string, HostArray> = {};
    for (const { name } of graph.inputs) {
      const value = required(values, name);
      arrays[name] = value.data instanceof Int32Array ? value.data : Float32Array.from(value.data);
    }
    const actual = await program.run(arrays);
    for (const [name, value] of reference) {
      compare(`${runtimeName} ${name}`, actual[name] ?? [], value.data, toleranceOf(name, opCase));
    }
    program.free();
  }
}

function toleranceOf(name: string, { tolerance = {} }: OpCase): number {
  return name.startsWith("grad.") ? (tolerance.gradients ?? 1e-4) : (tolerance.outputs ?? 2e-5);
}

function required<V>(map: ReadonlyMap<string, V>, name: string): V {
  const value = map.get(name);
  if (value === undefined) throw new Error(`${name} was not computed; there are ${[...map.keys()].join(", ")}`);
  return value;
}

function evaluate(graph: Graph, bindings: Bindings, values: ReadonlyMap<string, HostTensor>): Map<string, HostTensor> {
  const all = evaluateGraph(graph, bindings, (node) => required(values, (node.attributes as { name: string }).name));
  return new Map(graph.outputs.map(({ name, tensor }) => [name, all.get(tensor) as HostTensor] as const));
}

/** d Σ⟨output, upstream⟩ / d input by central differences in float64. */
function finiteDifferences(
  graph: Graph,
  bindings: Bindings,
  values: ReadonlyMap<string, HostTensor>,
  name: string,
): Float64Array {
  const value = required(values, name);
  const step = 1e-5;
  const objective = (data: Float64Array): number => {
    const outputs = evaluate(graph, bindings, new Map(values).set(name, { ...value, data }));
    let sum = 0;
    for (const [output, tensor] of outputs) {
      const upstream = required(values, `upstream.${output}`).data;
      for (const [i, y] of tensor.data.entries()) sum += y * Number(upstream[i]);
    }
    return sum;
  };
  return Float64Array.from(value.data, (x, i) => {
    const shifted = (delta: number): Float64Array => {
      const data = Float64Array.from(value.data);
      data[i] = x + delta;
      return data;
    };
    return (objective(shifted(step)) - objective(shifted(-step))) / (2 * step);
  });
}

/** max|a − ref| ≤ tolerance · max(max|ref|, 1e-6), every element finite where the reference is. */
export function compare(what: string, actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  expect(actual.length, `${what}: number of elements`).toBe(expected.length);
  let scale = 1e-6;
  for (let i = 0; i < expected.length; i++)
    if (Number.isFinite(expected[i])) scale = Math.max(scale, Math.abs(expected[i] ?? 0));
  let worst = 0;
  let where = 0;
  for (let i = 0; i < expected.length; i++) {
    const [a, e] = [actual[i] ?? Number.NaN, expected[i] ?? Number.NaN];
    const error = a === e || (Number.isNaN(a) && Number.isNaN(e)) ? 0 : Math.abs(a - e) / scale;
    if (!(error <= worst)) {
      worst = error;
      where = i;
    }
  }
  expect(
    worst,
    `${what}: element ${where} is ${actual[where]}, expected ${expected[where]} (scale ${scale})`,
  ).toBeLessThanOrEqual(tolerance);
}
