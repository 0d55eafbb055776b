// Reference for concat: for every outer index, one row of each input in turn.
import { hostZeros, type Reference, required } from "../types.ts";
import type { ConcatAttributes } from "./op.ts";

export const reference: Reference<ConcatAttributes> = (inputs, { axis }) => {
  const parts = inputs.map((tensor) => required(tensor, "concat input"));
  const first = required(parts[0], "concat input");
  const total = parts.reduce((n, part) => n + (part.shape[axis] ?? 0), 0);
  const output = hostZeros(first.shape.map((dim, i) => (i === axis ? total : dim)));
  const inner = first.shape.slice(axis + 1).reduce((n, d) => n * d, 1);
  const outer = first.shape.slice(0, axis).reduce((n, d) => n * d, 1);
  let offset = 0;
  for (let row = 0; row < outer; row++) {
    for (const part of parts) {
      const width = (part.shape[axis] ?? 0) * inner;
      output.data.set(part.data.subarray(row * width, (row + 1) * width), offset);
      offset += width;
    }
  }
  return [output];
};
