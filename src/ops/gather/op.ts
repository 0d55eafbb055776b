// gather: rows of a table by index, the embedding lookup.
import { dimAt, fixedDimAt, formatShape, GraphError, sizeOf } from "../../graph/shape.ts";
import { applyOne, type OpDefinition, type Tensor } from "../../graph/types.ts";

/** gather has no attributes. */
export type GatherAttributes = Readonly<Record<string, never>>;

/** Inputs table f32 [V, D], indices i32 [..]; output f32 [.., D]. See {@link gather}. */
export const gatherOp: OpDefinition<GatherAttributes> = {
  name: "gather",
  infer: ([table, indices]) => {
    if (table === undefined || indices === undefined) throw new GraphError("gather: table or indices are missing");
    if (table.shape.length !== 2 || table.dtype !== "f32") {
      throw new GraphError(
        `gather: the table is ${table.dtype} ${formatShape(table.shape)}, must be f32 [rows, width]`,
      );
    }
    if (indices.dtype !== "i32") throw new GraphError(`gather: indices are ${indices.dtype}, must be i32`);
    fixedDimAt(table.shape, 0);
    return [{ shape: [...indices.shape, dimAt(table.shape, 1)], dtype: "f32" }];
  },
  flops: () => 0,
  bytes: (_, [y]) => 8 * sizeOf(y?.shape ?? []),
};

/**
 * table f32 [V, D], indices i32 [..] → f32 [.., D], row indices[i] of the table (ONNX Gather on axis 0, without negative
 * indices). An index outside 0 … V − 1 gives a row of NaN: check token ids before.
 */
export function gather(table: Tensor, indices: Tensor): Tensor {
  return applyOne(gatherOp, [table, indices], {});
}
