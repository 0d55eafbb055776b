// group_rows: which rows go to which expert, so that each expert's weights meet all its rows at once.
import { formatShape, GraphError, sizeOf } from "../../graph/shape.ts";
import { apply, type OpDefinition, type Tensor } from "../../graph/types.ts";
import { required } from "../types.ts";

export interface GroupRowsAttributes {
  /** Number of groups. */
  readonly experts: number;
}

/** Input indices; outputs order, starts, counts. See {@link groupRows}. */
export const groupRowsOp: OpDefinition<GroupRowsAttributes> = {
  name: "group_rows",
  infer: ([indices], { experts }) => {
    if (indices === undefined || indices.dtype !== "i32") {
      throw new GraphError(`group_rows: indices ${indices && formatShape(indices.shape)} must be i32`);
    }
    return [
      { shape: indices.shape, dtype: "i32" },
      { shape: [experts + 1], dtype: "i32" },
      { shape: [experts], dtype: "f32" },
    ];
  },
  flops: ([indices]) => sizeOf(indices?.shape ?? []),
};

/**
 * indices i32 [..], each the expert of one row (counted through all axes) → order i32 [..], the numbers of all rows sorted
 * by expert, those of one expert ascending; starts i32 [experts + 1]: expert e has order[starts[e] … starts[e + 1] − 1].
 * counts f32 [experts]: how many those are. An index outside 0 … experts − 1 counts as the nearest one.
 */
export function groupRows(indices: Tensor, experts: number): Grouping {
  const [order, starts, counts] = apply(groupRowsOp, [indices], { experts });
  return { order: required(order, "order"), starts: required(starts, "starts"), counts: required(counts, "counts") };
}

export interface Grouping {
  readonly order: Tensor;
  readonly starts: Tensor;
  readonly counts: Tensor;
}
