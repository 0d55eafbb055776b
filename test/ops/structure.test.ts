// The structural and elementwise ops on every runtime.
import { describe, it } from "vitest";
import * as ex from "../../src/graph/expression.ts";
import type { Tensor } from "../../src/graph/types.ts";
import { concat } from "../../src/ops/concat/op.ts";
import { map } from "../../src/ops/map/op.ts";
import { reduce } from "../../src/ops/reduce/op.ts";
import { reshape } from "../../src/ops/reshape/op.ts";
import { slice } from "../../src/ops/slice/op.ts";
import { transpose } from "../../src/ops/transpose/op.ts";
import { checkOp } from "./harness.ts";

describe("structural ops", () => {
  it("map broadcasts and differentiates through stretched axes", () =>
    checkOp({
      bindings: { B: 2, T: 3 },
      inputs: { x: { shape: ["B", "T", 5] }, bias: { shape: [5] }, row: { shape: ["B", "T", 1] }, s: { shape: [] } },
      build: ({ x, bias, row, s }) => ({
        y: map(
          [x, bias, row, s].filter((t) => t !== undefined),
          ex.mul(ex.silu(ex.add(ex.input(0), ex.input(1))), ex.add(ex.input(2), ex.exp(ex.input(3)))),
        ),
      }),
    }));
  for (const fn of ["sum", "mean", "max", "sum_squares"] as const) {
    it(`reduce ${fn} over inner, outer and all axes`, () =>
      checkOp({
        inputs: { x: { shape: [3, 4, 5] } },
        build: ({ x }): Record<string, Tensor> =>
          x === undefined
            ? {}
            : {
                a: reduce(x, fn, [2]),
                b: reduce(x, fn, [0, 1]),
                c: reduce(x, fn),
                d: reduce(x, fn, [1], { keepDims: true }),
              },
      }));
  }
  it("slices, concatenates, transposes and reshapes", () =>
    checkOp({
      bindings: { B: 2, T: 4 },
      inputs: { x: { shape: ["B", "T", 6] } },
      build: ({ x }): Record<string, Tensor> =>
        x === undefined
          ? {}
          : {
              last: slice(x, 1, -1, 1),
              middle: slice(x, 2, 1, 3),
              swapped: transpose(reshape(x, ["B", "T", 2, 3]), [0, 2, 1, 3]),
              joined: concat([slice(x, 2, 4, 2), x, slice(x, 2, 0, 1)], 2),
            },
    }));
});
