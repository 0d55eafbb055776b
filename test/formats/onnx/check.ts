// Runs graphs in onnxruntime, written in each dialect, and compares with the reference implementations. Sizes of batch and time stay symbols, so that one
// file is checked at several of them.
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { expect } from "vitest";
import { graphToOnnx } from "../../../src/formats/onnx/graph.ts";
import type { Dialect } from "../../../src/formats/onnx/lowering.ts";
import { makeGraph } from "../../../src/graph/graph.ts";
import { input, parameter } from "../../../src/graph/leaves.ts";
import { bindShape, type Shape, sizeOf } from "../../../src/graph/shape.ts";
import type { Tensor } from "../../../src/graph/types.ts";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import type { HostArray } from "../../../src/runtime/types.ts";
import { generator } from "../../ops/harness.ts";

// Without this onnxruntime refuses the newest opset.
process.env.ALLOW_RELEASED_ONNX_OPSET_ONLY = "0";

export interface CheckedLeaf {
  readonly shape: Shape;
  /** A stored weight rather than an input. */
  readonly weight?: boolean;
  /** Uniform in here; [-1, 1) by default. With `ids`, whole numbers from 0 below the second. */
  readonly range?: readonly [number, number];
  readonly ids?: boolean;
}

export interface Check {
  /** All without Scan where absent. */
  readonly dialects?: readonly Dialect[];
  readonly leaves: Readonly<Record<string, CheckedLeaf>>;
  readonly build: (leaves: (name: string) => Tensor) => Readonly<Record<string, Tensor>>;
  /** Sizes of B and T. */
  readonly sizes?: readonly (readonly [number, number])[];
  readonly tolerance?: number;
  /** How often operators must stand in the file of the first dialect. */
  readonly operators?: Readonly<Record<string, number>>;
}

/** Builds a graph of inputs and weights, and expects onnxruntime to compute what the references do. */
export async function checkOnnx({ dialects = ["ort", "onnx", "portable"], operators, ...check }: Check): Promise<void> {
  for (const [i, dialect] of dialects.entries()) await checkDialect(dialect, i === 0 ? { operators, ...check } : check);
}

async function checkDialect(dialect: Dialect, check: Check): Promise<void> {
  const { leaves, build, tolerance = 1e-5 } = check;
  const draw = generator(11);
  const fill = (shape: readonly number[], { range: [low, high] = [-1, 1], ids }: CheckedLeaf): HostArray => {
    const next = (): number => low + (high - low) * draw();
    if (ids) return Int32Array.from({ length: sizeOf(shape) }, () => Math.floor(next()));
    return Float32Array.from({ length: sizeOf(shape) }, next);
  };
  const weights = new Map<string, Float32Array>();
  const tensors = new Map<string, Tensor>();
  for (const [name, leaf] of Object.entries(leaves)) {
    const { shape } = leaf;
    if (leaf.weight) {
      const fixed = shape as readonly number[];
      tensors.set(name, parameter(name, fixed, { kind: "zeros" }));
      weights.set(name, fill(fixed, leaf) as Float32Array);
    } else tensors.set(name, input(name, shape, leaf.ids ? "i32" : "f32"));
  }
  const found = <V>(map: ReadonlyMap<string, V>, name: string): V => {
    const value = map.get(name);
    if (value === undefined) throw new Error(`no leaf ${name}`);
    return value;
  };
  const outputs = Object.entries(build((name) => found(tensors, name))).map(([name, tensor]) => ({ name, tensor }));
  const graph = makeGraph({ outputs });
  const builder = graphToOnnx(graph, { dialect, weight: (name) => found(weights, name) });
  const session = await InferenceSession.create(builder.encode(), { intraOpNumThreads: 1, logSeverityLevel: 3 });
  const runtime = createReferenceRuntime();
  const buffers = new Map(
    [...weights].map(([name, data]) => [
      name,
      runtime.buffer({ shape: leaves[name]?.shape as readonly number[], dtype: "f32" }, data),
    ]),
  );
  for (const [B, T] of check.sizes ?? [[2, 5] as const, [1, 1] as const, [3, 70] as const]) {
    const bindings = { B, T, C: 1 };
    const feed = Object.fromEntries(
      graph.inputs.map(({ name, tensor }) => [
        name,
        fill(bindShape(tensor.shape, bindings), leaves[name] ?? { shape: [] }),
      ]),
    );
    const program = await runtime.compile(graph, { bindings, buffers });
    const expected = await program.run(feed);
    program.free();
    const actual = await session.run(
      Object.fromEntries(
        graph.inputs.map(({ name, tensor }) => {
          const data = feed[name];
          const dims = bindShape(tensor.shape, bindings);
          if (data instanceof Float32Array) return [name, new OrtTensor("float32", data, dims)];
          return [name, new OrtTensor("int64", BigInt64Array.from(data ?? [], BigInt), dims)];
        }),
      ),
    );
    for (const { name, tensor } of outputs) {
      const label = `${dialect}: ${name} at B = ${B}, T = ${T}`;
      expect(actual[name]?.dims, label).toEqual(bindShape(tensor.shape, bindings));
      expectClose(label, actual[name]?.data as ArrayLike<number | bigint>, expected[name] ?? [], tolerance);
    }
  }
  await runtime.close();
  await session.release();
  const counts = builder.operators();
  for (const [name, count] of Object.entries(check.operators ?? {})) expect(counts.get(name) ?? 0, name).toBe(count);
}

/** Expects the largest difference, relative to the largest expected number (at least 1), to be small. */
export function expectClose(
  label: string,
  actual: ArrayLike<number | bigint>,
  expected: ArrayLike<number>,
  tolerance: number,
): void {
  expect(actual.length, label).toBe(expected.length);
  expect(expected.length, label).toBeGreaterThan(0);
  let largest = 1;
  for (let i = 0; i < expected.length; i++) largest = Math.max(largest, Math.abs(Number(expected[i])));
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(Number(actual[i]) - Number(expected[i])) / largest;
    // NaN is never below.
    if (!(error <= worst)) worst = error;
  }
  expect(worst, label).toBeLessThanOrEqual(tolerance);
}
