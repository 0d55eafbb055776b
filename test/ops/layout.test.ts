// transpose, slice, slice_gradient and concat on the wasm runtime: to the bit what the references say.
import fc from "fast-check";
import { expect, test } from "vitest";
import { type BoundType, sizeOf } from "../../src/graph/shape.ts";
import type { OpDefinition } from "../../src/graph/types.ts";
import { concatOp } from "../../src/ops/concat/op.ts";
import { reference as concatReference } from "../../src/ops/concat/reference.ts";
import { lower as lowerConcat } from "../../src/ops/concat/wasm.ts";
import { sliceOp } from "../../src/ops/slice/op.ts";
import { reference as sliceReference } from "../../src/ops/slice/reference.ts";
import { lower as lowerSlice } from "../../src/ops/slice/wasm.ts";
import { sliceGradientOp } from "../../src/ops/slice-gradient/op.ts";
import { reference as sliceGradientReference } from "../../src/ops/slice-gradient/reference.ts";
import { lower as lowerSliceGradient } from "../../src/ops/slice-gradient/wasm.ts";
import { transposeOp } from "../../src/ops/transpose/op.ts";
import { reference as transposeReference } from "../../src/ops/transpose/reference.ts";
import { lower as lowerTranspose, transposedAxes } from "../../src/ops/transpose/wasm.ts";
import type { Reference } from "../../src/ops/types.ts";
import type { WasmLowering } from "../../src/runtime/wasm/lowering.ts";
import { numbers } from "./evaluate.ts";
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
