// reduce: sum, mean, max or sum of squares over axes.
import { type Dim, formatShape, GraphError, type Shape, sameShape, sizeOf } from "../../graph/shape.ts";
import { applyOne, type OpDefinition, type Tensor } from "../../graph/types.ts";
import { reshape } from "../reshape/op.ts";

export interface ReduceAttributes {
  readonly fn: "sum" | "mean" | "max" | "sum_squares";
  /** Axes, non-negative and ascending. */
  readonly axes: readonly number[];
  /** Whether reduced axes stay with length 1. */
  readonly keepDims: boolean;
}

/** x f32 of any shape → f32 with `axes` reduced. */
export const reduceOp: OpDefinition<ReduceAttributes> = {
  name: "reduce",
  infer: ([x], { axes, keepDims }) => {
    if (x === undefined) throw new GraphError("reduce: input is missing");
    if (axes.some((axis) => axis < 0 || axis >= x.shape.length)) {
      throw new GraphError(`reduce: axes ${axes.join(", ")} do not exist in ${formatShape(x.shape)}`);
    }
    const shape: Dim[] = [];
    for (const [axis, dim] of x.shape.entries()) {
      if (!axes.includes(axis)) shape.push(dim);
      else if (keepDims) shape.push(1);
    }
    return [{ shape, dtype: "f32" }];
  },
  flops: ([x]) => sizeOf(x?.shape ?? []),
};

export function reduce(
  x: Tensor,
  fn: ReduceAttributes["fn"],
  axes: readonly number[] = x.shape.map((_, i) => i),
  options: { readonly keepDims?: boolean } = {},
): Tensor {
  const positive = axes.map((axis) => (axis < 0 ? axis + x.shape.length : axis)).sort((a, b) => a - b);
  return applyOne(reduceOp, [x], { fn, axes: positive, keepDims: options.keepDims ?? false });
}

/** Sums `x` over the axes along which a tensor of `shape` would be stretched to reach x's shape: the adjoint of broadcasting. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const extra = x.shape.length - shape.length;
  const axes = x.shape.flatMap((dim, axis) => (axis < extra || (shape[axis - extra] === 1 && dim !== 1) ? [axis] : []));
  const summed = axes.length === 0 ? x : reduce(x, "sum", axes);
  return sameShape(summed.shape, shape) ? summed : reshape(summed, shape);
}
