// transpose, slice, slice_gradient and concat: to the bit what the references say.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { input } from "../../src/graph/leaves.ts";
import { type BoundType, sizeOf } from "../../src/graph/shape.ts";
import type { OpDefinition } from "../../src/graph/types.ts";
import { concat, concatOp } from "../../src/ops/concat/op.ts";
import { reference as concatReference } from "../../src/ops/concat/reference.ts";
import { lower as lowerConcat } from "../../src/ops/concat/wasm.ts";
import { slice, sliceOp } from "../../src/ops/slice/op.ts";
import { reference as sliceReference } from "../../src/ops/slice/reference.ts";
import { lower as lowerSlice } from "../../src/ops/slice/wasm.ts";
import { sliceGradient, sliceGradientOp } from "../../src/ops/slice-gradient/op.ts";
import { reference as sliceGradientReference } from "../../src/ops/slice-gradient/reference.ts";
import { lower as lowerSliceGradient } from "../../src/ops/slice-gradient/wasm.ts";
import { transpose, transposeOp } from "../../src/ops/transpose/op.ts";
import { reference as transposeReference } from "../../src/ops/transpose/reference.ts";
import { lower as lowerTranspose, transposedAxes } from "../../src/ops/transpose/wasm.ts";
import type { Reference } from "../../src/ops/types.ts";
import type { WasmLowering } from "../../src/runtime/wasm/lowering.ts";
import { feedOf, gpuEngines, numbers } from "./evaluate.ts";
import { expectAgreement, expectCut, runOn } from "./gpu.ts";
import { testRuntime } from "./harness.ts";
import { runLowered } from "./lowered.ts";

function check<A>(
  op: OpDefinition<A>,
  reference: Reference<A>,
  lower: WasmLowering<A>,
  shapes: readonly (readonly number[])[],
  attributes: A,
): void {
  const inputs = shapes.map((shape, i) => ({ shape, dtype: "f32" as const, data: numbers(sizeOf(shape), i) }));
  const hosts = inputs.map((value) => ({ ...value, data: Float64Array.from(value.data) }));
  const expected = Float32Array.from(reference(hosts, attributes)[0]?.data ?? []);
  for (const threads of [1, 2, 3]) {
    const [actual] = runLowered(op, lower, inputs, attributes, { threads });
    const same = actual?.length === expected.length && actual.every((value, i) => value === expected[i]);
    expect(same, `${op.name} of ${JSON.stringify(shapes)} by ${JSON.stringify(attributes)}`).toBe(true);
  }
}

const shapes = fc
  .array(fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 70 })), { minLength: 1, maxLength: 5 })
  .filter((shape) => sizeOf(shape) < 3000);

test("transpose by any permutation", async () => {
  const cases = shapes.chain((shape) => {
    const axes = shape.map((_, i) => i);
    return fc.tuple(fc.constant(shape), fc.shuffledSubarray(axes, { minLength: axes.length, maxLength: axes.length }));
  });
  fc.assert(
    fc.property(cases, ([shape, permutation]) =>
      check(transposeOp, transposeReference, lowerTranspose, [shape], { permutation }),
    ),
    { numRuns: 150 },
  );
});

test("transpose of matrices around the tile sizes", async () => {
  for (const [m, n] of [
    [1, 9],
    [9, 1],
    [4, 4],
    [15, 17],
    [16, 64],
    [17, 65],
    [33, 130],
    [3, 500],
    [500, 3],
  ] as const) {
    check(transposeOp, transposeReference, lowerTranspose, [[m, n]], { permutation: [1, 0] });
    check(transposeOp, transposeReference, lowerTranspose, [[2, m, n]], { permutation: [0, 2, 1] });
  }
});

test("axes that stay neighbours are moved as one", async () => {
  expect(transposedAxes([2, 3, 4, 5], [0, 2, 1, 3])).toEqual([
    { size: 2, source: 60, target: 60 },
    { size: 4, source: 5, target: 15 },
    { size: 3, source: 20, target: 5 },
    { size: 5, source: 1, target: 1 },
  ]);
  expect(transposedAxes([2, 3, 4], [2, 0, 1])).toEqual([
    { size: 4, source: 1, target: 6 },
    { size: 6, source: 4, target: 1 },
  ]);
});

test("slice of any axis, from either end, and its gradient", async () => {
  const cases = shapes.chain((shape) =>
    fc.nat(shape.length - 1).chain((axis) => {
      const dim = shape[axis] ?? 1;
      return fc.nat(dim - 1).chain((start) =>
        fc.tuple(fc.integer({ min: 1, max: dim - start }), fc.boolean()).map(([length, fromEnd]) => ({
          shape,
          attributes: { axis, start: fromEnd ? start - dim : start, length },
        })),
      );
    }),
  );
  fc.assert(
    fc.property(cases, ({ shape, attributes }) => {
      check(sliceOp, sliceReference, lowerSlice, [shape], attributes);
      const [sliced] = sliceOp.infer([{ shape, dtype: "f32" }], attributes) as BoundType[];
      const { axis, start } = attributes;
      const gradient = { axis, start, dim: shape[axis] ?? 1 };
      check(sliceGradientOp, sliceGradientReference, lowerSliceGradient, [sliced?.shape ?? []], gradient);
    }),
    { numRuns: 150 },
  );
});

test("long rows are shared between threads", async () => {
  check(sliceOp, sliceReference, lowerSlice, [[2, 5000]], { axis: 1, start: 7, length: 4001 });
  check(sliceGradientOp, sliceGradientReference, lowerSliceGradient, [[2, 4001]], { axis: 1, start: 7, dim: 5000 });
});

test("concat of any number of tensors along any axis", async () => {
  const cases = shapes.chain((shape) =>
    fc.tuple(
      fc.constant(shape),
      fc.nat(shape.length - 1),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 }),
    ),
  );
  fc.assert(
    fc.property(cases, ([shape, axis, lengths]) => {
      const parts = lengths.map((length) => shape.map((dim, i) => (i === axis ? length : dim)));
      check(concatOp, concatReference, lowerConcat, parts, { axis });
    }),
    { numRuns: 100 },
  );
});

describe("on the GPU", () => {
  /** Inputs of these shapes, a, b, c, …, and their numbers. */
  const given = (...shapes: readonly (readonly number[])[]) => {
    const names = shapes.map((_, i) => String.fromCharCode(97 + i));
    const tensors = shapes.map((shape, i) => input(names[i] ?? "", shape));
    return { tensors, feed: feedOf(Object.fromEntries(shapes.map((shape, i) => [names[i], shape]))) };
  };

  test("transpose: tiles, rows that stay, short axes, any order of up to five axes", async () => {
    for (const [shape, permutations] of [
      [
        [3, 40, 70],
        [
          [0, 2, 1],
          [2, 1, 0],
          [1, 0, 2],
          [2, 0, 1],
        ],
      ],
      [
        [2, 9, 3, 8],
        [
          [0, 2, 1, 3],
          [3, 1, 0, 2],
          [0, 1, 3, 2],
        ],
      ],
      [[2, 3, 33, 5, 34], [[1, 4, 3, 0, 2]]],
      [[1, 12], [[1, 0]]],
      [[500, 3], [[1, 0]]],
    ] as const) {
      const { tensors, feed } = given([...shape]);
      const results = tensors.flatMap((x) => permutations.map((permutation) => transpose(x, permutation)));
      await expectAgreement(gpuEngines, results, feed, 0);
    }
  });

  test("slice from either end and its gradient, four elements at a time and one", async () => {
    for (const shape of [
      [3, 8, 12],
      [3, 7, 5],
    ]) {
      const { tensors, feed } = given(shape);
      const results = tensors.flatMap((x) =>
        [
          [0, 1, 2],
          [1, -3, 2],
          [1, 4, 1],
          [2, 0, 4],
          [2, 4, 1],
        ].flatMap(([axis = 0, start = 0, length = 1]) => [
          slice(x, axis, start, length),
          sliceGradient(x, axis, start < 0 ? -20 : start, 24),
        ]),
      );
      await expectAgreement(gpuEngines, results, feed, 0);
    }
  });

  test("concat along any axis, more tensors than can be bound, in few dispatches", async () => {
    const { tensors, feed } = given(...[4, 8, 1, 12, 4, 4, 8, 3, 4, 4].map((n) => [2, n, 3]));
    const columns = given(...[4, 8, 4].map((n) => [5, n]));
    const rows = given([1, 6], [4, 6]);
    await expectAgreement(gpuEngines, [concat(tensors, 1)], feed, 0);
    await expectAgreement(gpuEngines, [concat(columns.tensors, 1)], columns.feed, 0);
    await expectAgreement(gpuEngines, [concat(rows.tensors, 0)], rows.feed, 0);
    const { kernels } = await runOn(await testRuntime("webgpu/default"), [concat(tensors, 1)], feed);
    expect(kernels).toHaveLength(2);
  });

  test("integers", async () => {
    const x = input("x", [3, 40], "i32");
    const data = Array.from({ length: 120 }, (_, i) => i * 1e7 - 6e8);
    const feed = new Map([["x", { shape: [3, 40], dtype: "i32" as const, data }]]);
    for (const name of ["webgpu/default", "webgpu/adapter"] as const) {
      const results = [slice(x, 1, 3, 5), slice(x, 1, 4, 8), concat([x, x], 0), transpose(x, [1, 0])];
      const { outputs } = await runOn(await testRuntime(name), results, feed);
      expect(Array.from(outputs[0] ?? []).slice(5, 10)).toEqual(data.slice(43, 48));
      expect(Array.from(outputs[1] ?? []).slice(8, 16)).toEqual(data.slice(44, 52));
      expect(Array.from(outputs[2] ?? [])).toEqual([...data, ...data]);
      expect(Array.from(outputs[3] ?? []).slice(0, 6)).toEqual([0, 40, 80, 1, 41, 81].map((i) => data[i]));
    }
  });

  test("tensors larger than a binding are cut", async () => {
    const exact = { tolerance: 0 };
    for (const [x, y] of [
      // Rows that begin where parts may begin, rows that don't, and one row.
      [
        [70, 256],
        [70, 128],
      ],
      [
        [3, 9001],
        [3, 70],
      ],
      [
        [1, 30001],
        [1, 6000],
      ],
    ] as const) {
      const { tensors, feed } = given([...x], [...y]);
      const [a, b] = tensors;
      if (a === undefined || b === undefined) throw new Error("missing");
      await expectCut([concat([a, b], 1)], feed, exact);
      await expectCut([slice(a, 1, 7, x[1] - 9)], feed, exact);
      await expectCut([sliceGradient(a, 1, 3, x[1] + 11)], feed, exact);
    }
    const { tensors, feed } = given([6, 32, 64]);
    for (const x of tensors) await expectCut([transpose(x, [0, 2, 1])], feed, exact);
  });
});
