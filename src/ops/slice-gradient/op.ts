// slice_gradient: puts a tensor into a longer axis filled with zeros; the adjoint of slice.
import { bindDim, type Dim, dimAt, GraphError } from "../../graph/shape.ts";
import { applyOne, type OpDefinition, type Tensor } from "../../graph/types.ts";

export interface SliceGradientAttributes {
  readonly axis: number;
  /** Where it begins in the longer axis; negative counts from the end. */
  readonly start: number;
  /** Length of the longer axis. */
  readonly dim: Dim;
}

/** dy f32 [.., length, ..] → f32 [.., dim, ..], zero outside start … start + length - 1. */
export const sliceGradientOp: OpDefinition<SliceGradientAttributes> = {
  name: "slice_gradient",
  infer: ([dy], { axis, dim }) => {
    if (dy === undefined) throw new GraphError("slice_gradient: input is missing");
    dimAt(dy.shape, axis);
    return [{ shape: dy.shape.map((d, i) => (i === axis ? dim : d)), dtype: "f32" }];
  },
  bind: (a, bindings) => ({ ...a, dim: bindDim(a.dim, bindings) }),
  flops: () => 0,
};

export function sliceGradient(dy: Tensor, axis: number, start: number, dim: Dim): Tensor {
  return applyOne(sliceGradientOp, [dy], { axis, start, dim });
}
