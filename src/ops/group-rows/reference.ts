// Reference for group_rows: a counting sort.
import { hostZeros, type Reference, required } from "../types.ts";
import type { GroupRowsAttributes } from "./op.ts";

/** The expert that an index means: itself, or the nearest there is. */
export const expertOf = (index: number | undefined, experts: number): number =>
  Math.min(Math.max(index ?? 0, 0), experts - 1);

export const reference: Reference<GroupRowsAttributes> = (inputs, { experts }) => {
  const indices = required(inputs[0], "indices");
  const order = new Int32Array(indices.data.length);
  const starts = new Int32Array(experts + 1);
  const counts = hostZeros([experts]);
  let place = 0;
  for (let expert = 0; expert < experts; expert++) {
    starts[expert] = place;
    for (const [row, index] of indices.data.entries()) if (expertOf(index, experts) === expert) order[place++] = row;
    counts.data[expert] = place - (starts[expert] ?? 0);
  }
  starts[experts] = place;
  return [
    { shape: indices.shape, dtype: "i32", data: order },
    { shape: [experts + 1], dtype: "i32", data: starts },
    counts,
  ];
};
