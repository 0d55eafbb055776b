// gather_gradient: the adjoint of gather.
import { dimAt, formatShape, GraphError, sameShape, sizeOf } from "../../graph/shape.ts";
import { applyOne, type OpDefinition, type Tensor } from "../../graph/types.ts";

export interface GatherGradientAttributes {
  /** Rows of the table. */
  readonly rows: number;
}

/** Inputs indices i32 [..], dy f32 [.., D]; output f32 [rows, D]: row r is the sum of dy[i] over indices[i] = r. */
export const gatherGradientOp: OpDefinition<GatherGradientAttributes> = {
  name: "gather_gradient",
  infer: ([indices, dy], { rows }) => {
    if (indices === undefined || dy === undefined) throw new GraphError("gather_gradient: indices or dy are missing");
    if (!sameShape(indices.shape, dy.shape.slice(0, -1))) {
      throw new GraphError(
        `gather_gradient: dy ${formatShape(dy.shape)} does not fit indices ${formatShape(indices.shape)}`,
      );
    }
    return [{ shape: [rows, dimAt(dy.shape, -1)], dtype: "f32" }];
  },
  flops: ([, dy]) => sizeOf(dy?.shape ?? []),
};

export function gatherGradient(indices: Tensor, dy: Tensor, rows: number): Tensor {
  return applyOne(gatherGradientOp, [indices, dy], { rows });
}
