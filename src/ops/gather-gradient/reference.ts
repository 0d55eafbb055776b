// Reference for gather_gradient: adds one row per index.
import { hostZeros, type Reference, required } from "../types.ts";
import type { GatherGradientAttributes } from "./op.ts";

export const reference: Reference<GatherGradientAttributes> = (inputs, { rows }) => {
  const indices = required(inputs[0], "indices");
  const dy = required(inputs[1], "dy");
  const width = dy.shape.at(-1) ?? 1;
  const gradient = hostZeros([rows, width]);
  for (const [i, row] of indices.data.entries()) {
    if (row < 0 || row >= rows) continue;
    for (let c = 0; c < width; c++) {
      gradient.data[row * width + c] = (gradient.data[row * width + c] ?? 0) + (dy.data[i * width + c] ?? 0);
    }
  }
  return [gradient];
};
