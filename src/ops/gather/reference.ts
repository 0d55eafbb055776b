// Reference for gather: copies one row per index.
import { hostZeros, type Reference, required } from "../types.ts";
import type { GatherAttributes } from "./op.ts";

export const reference: Reference<GatherAttributes> = (inputs) => {
  const table = required(inputs[0], "table");
  const indices = required(inputs[1], "indices");
  const [rows = 0, width = 0] = table.shape;
  const y = hostZeros([...indices.shape, width]);
  for (const [i, row] of indices.data.entries()) {
    const valid = row >= 0 && row < rows;
    for (let c = 0; c < width; c++) y.data[i * width + c] = valid ? (table.data[row * width + c] ?? 0) : Number.NaN;
  }
  return [y];
};
