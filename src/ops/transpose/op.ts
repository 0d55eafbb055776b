// transpose: axes in another order.
import { type Dim, formatShape, GraphError } from "../../graph/shape.ts";
import { applyOne, type OpDefinition, type Tensor } from "../../graph/types.ts";

export interface TransposeAttributes {
  /** Output axis i is input axis permutation[i]. */
  readonly permutation: readonly number[];
}

/** x f32 [d0, …] → f32 [d_permutation[0], …]. */
export const transposeOp: OpDefinition<TransposeAttributes> = {
  name: "transpose",
  infer: ([x], { permutation }) => {
    if (x === undefined) throw new GraphError("transpose: input is missing");
    const axes = [...permutation].sort((a, b) => a - b);
    if (axes.length !== x.shape.length || axes.some((axis, i) => axis !== i)) {
      throw new GraphError(
        `transpose: [${permutation.join(", ")}] is no permutation of the axes of ${formatShape(x.shape)}`,
      );
    }
    return [{ shape: permutation.map((axis) => x.shape[axis] as Dim), dtype: x.dtype }];
  },
  flops: () => 0,
};

export function transpose(x: Tensor, permutation: readonly number[]): Tensor {
  return permutation.every((axis, i) => axis === i) ? x : applyOne(transposeOp, [x], { permutation });
}
