// reduce on every runtime, against the float64 reference.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { input } from "../../src/graph/leaves.ts";
import { sizeOf } from "../../src/graph/shape.ts";
import { type ReduceAttributes, reduce, reduceOp } from "../../src/ops/reduce/op.ts";
import { reference } from "../../src/ops/reduce/reference.ts";
import { axisRuns, lower } from "../../src/ops/reduce/wasm.ts";
import { evaluate, expectClose, gpuEngines, numbers, wasmEngines } from "./evaluate.ts";
import { expectAgreement, expectCut, runOn } from "./gpu.ts";
import { testRuntime } from "./harness.ts";
import { type HostInput, runLowered } from "./lowered.ts";

const functions = ["sum", "mean", "max", "sum_squares"] as const;

const largest = (values: ArrayLike<number>): number => Array.from(values).reduce((m, v) => Math.max(m, Math.abs(v)), 0);

function check(shape: readonly number[], attributes: ReduceAttributes): void {
  const x: HostInput = { shape, dtype: "f32", data: numbers(sizeOf(shape), 5) };
  const exact = (data: Float64Array) => reference([{ ...x, data }], attributes)[0]?.data ?? [];
  const expected = exact(Float64Array.from(x.data));
  // Rounding grows with what is added up, however much of it cancels.
  const added = largest(exact(Float64Array.from(x.data, Math.abs)));
  const tolerance = (2e-6 * added) / Math.max(largest(expected), 1e-6);
  for (const { name, wasm } of [...wasmEngines, { name: "3 threads", wasm: { build: "simd", threads: 3 } as const }]) {
    const [actual] = runLowered(reduceOp, lower, [x], attributes, wasm);
    expectClose(`${name}: ${attributes.fn} of [${shape}] over [${attributes.axes}]`, actual ?? [], expected, tolerance);
  }
}

describe.each(functions)("%s", (fn) => {
  test.each([
    ["everything", [3, 5, 7], [0, 1, 2]],
    ["everything, enough to share", [20000], [0]],
    ["the leading axes", [2, 7, 33], [0, 1]],
    ["the leading axes, enough to share", [4, 600, 70], [0, 1]],
    ["the leading axis under few columns", [9000, 3], [0]],
    ["the leading axis under many columns", [5, 5000], [0]],
    ["the last axis", [6, 131], [1]],
    ["a middle axis", [3, 50, 9], [1]],
    ["a long middle axis of few rows", [2, 3000, 5], [1]],
    ["alternating axes", [3, 4, 5, 6], [0, 2]],
    ["alternating axes, the others", [3, 4, 5, 6], [1, 3]],
    ["an axis of one", [4, 1, 3], [1]],
    ["no axis", [4, 3], []],
    ["one element", [1], [0]],
  ])("over %s", (_, shape, axes) => {
    check(shape, { fn, axes, keepDims: false });
  });

  test("over any axes of any shape", async () => {
    const cases = fc
      .array(fc.oneof(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 60 })), { minLength: 1, maxLength: 5 })
      .filter((shape) => sizeOf(shape) < 5000)
      .chain((shape) => fc.tuple(fc.constant(shape), fc.subarray(shape.map((_, i) => i)), fc.boolean()));
    fc.assert(
      fc.property(cases, ([shape, axes, keepDims]) => check(shape, { fn, axes, keepDims })),
      { numRuns: 40 },
    );
  });
});

describe("on the GPU", () => {
  const feed = (shape: readonly number[], data: ArrayLike<number> = numbers(sizeOf(shape), 5)) =>
    new Map<string, HostInput>([["x", { shape, dtype: "f32", data }]]);

  test.each([
    ["everything", [3, 5, 7], [0, 1, 2]],
    ["everything, in parts", [20000], [0]],
    ["the leading axes, in parts", [4, 600, 72], [0, 1]],
    ["the leading axis under few columns", [9000, 3], [0]],
    ["the leading axis under many columns", [5, 5000], [0]],
    ["two rows", [2, 300], [0]],
    ["the last axis", [6, 131], [1]],
    ["the last axis, four at a time", [70, 64], [1]],
    ["a long middle axis of few rows, in parts", [2, 3000, 5], [1]],
    ["alternating axes", [3, 4, 5, 6], [0, 2]],
    ["alternating axes, the others", [3, 4, 5, 6], [1, 3]],
    ["an axis of one", [4, 1, 3], [1]],
    ["no axis", [4, 3], []],
  ])("over %s", async (_, shape, axes) => {
    const x = input("x", shape);
    await expectAgreement(
      gpuEngines,
      // The others only differ in a factor or a square.
      (["mean", "max"] as const).map((fn) => reduce(x, fn, axes)),
      feed(shape),
      1e-5,
    );
  });

  test("a million equal numbers add up without losing digits, by enough workgroups", async () => {
    const data = new Float32Array(1 << 20).fill(0.1);
    for (const engine of ["webgpu/default", "webgpu/adapter"] as const) {
      const runtime = await testRuntime(engine);
      const sum = await runOn(runtime, [reduce(input("x", [1 << 20]), "sum")], feed([1 << 20], data));
      expect(Math.abs((sum.outputs[0]?.[0] ?? 0) / (Math.fround(0.1) * 2 ** 20) - 1)).toBeLessThan(1e-6);
      expect(sum.kernels.some((kernel) => /parts/.test(kernel))).toBe(true);
      const columns = await runOn(runtime, [reduce(input("x", [1 << 18, 4]), "sum", [0])], feed([1 << 18, 4], data));
      expect(Math.abs((columns.outputs[0]?.[1] ?? 0) / (Math.fround(0.1) * 2 ** 18) - 1)).toBeLessThan(1e-6);
    }
  });

  test("NaN wins every maximum and every sum, and the maximum of minus infinities is one", async () => {
    const data = numbers(400);
    data[123] = Number.NaN;
    const lowest = new Float32Array(400).fill(Number.NEGATIVE_INFINITY);
    const x = input("x", [100, 4]);
    const results = functions.flatMap((fn) => [reduce(x, fn), reduce(x, fn, [0]), reduce(x, fn, [1])]);
    for (const engine of gpuEngines) {
      const values = await evaluate(results, feed([100, 4], data), engine);
      for (const [i, at] of functions.flatMap(
        (_, k) =>
          [
            [3 * k, 0],
            [3 * k + 1, 3],
            [3 * k + 2, 30],
          ] as const,
      ))
        expect(values[i]?.[at]).toBeNaN();
      const [all, columns] = await evaluate([reduce(x, "max"), reduce(x, "max", [0])], feed([100, 4], lowest), engine);
      expect([all?.[0], columns?.[2]]).toEqual([Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]);
    }
  });

  test("tensors larger than a binding are cut, whichever axis is reduced", async () => {
    for (const [shape, axes] of [
      [[300, 96], [1]],
      [[300, 96], [0]],
      [[20000], [0]],
      [[3, 70, 96], [1]],
    ] as const) {
      const x = input("x", [...shape]);
      const results = functions.map((fn) => reduce(x, fn, axes));
      await expectCut(results, feed(shape), { tolerance: 1e-5 });
    }
  });
});

test("a million equal numbers add up without losing digits", async () => {
  const x: HostInput = { shape: [1 << 20], dtype: "f32", data: new Float32Array(1 << 20).fill(0.1) };
  const column: HostInput = { ...x, shape: [1 << 18, 4] };
  for (const { wasm } of wasmEngines) {
    const [sum] = runLowered(reduceOp, lower, [x], { fn: "sum", axes: [0], keepDims: false }, wasm);
    expect(Math.abs((sum?.[0] ?? 0) / (Math.fround(0.1) * 2 ** 20) - 1)).toBeLessThan(1e-6);
    const [columns] = runLowered(reduceOp, lower, [column], { fn: "sum", axes: [0], keepDims: false }, wasm);
    expect(Math.abs((columns?.[1] ?? 0) / (Math.fround(0.1) * 2 ** 18) - 1)).toBeLessThan(2e-5);
  }
});

test("NaN wins every maximum and every sum", async () => {
  const data = numbers(400);
  data[123] = Number.NaN;
  for (const fn of functions) {
    for (const { wasm } of wasmEngines) {
      const [all] = runLowered(
        reduceOp,
        lower,
        [{ shape: [400], dtype: "f32", data }],
        { fn, axes: [0], keepDims: false },
        wasm,
      );
      expect(all?.[0], fn).toBeNaN();
    }
  }
});

test("adjacent axes of one kind are one run", async () => {
  expect(axisRuns([2, 3, 1, 4, 5], [0, 1])).toEqual([
    { size: 6, reduced: true },
    { size: 20, reduced: false },
  ]);
  expect(axisRuns([2, 3, 4], [1])).toEqual([
    { size: 2, reduced: false },
    { size: 3, reduced: true },
    { size: 4, reduced: false },
  ]);
});
