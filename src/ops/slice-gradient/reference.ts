// Reference for slice_gradient: zeros with dy's rows copied into place.
import { sliceStart } from "../slice/op.ts";
import { hostZeros, type Reference, required } from "../types.ts";
import type { SliceGradientAttributes } from "./op.ts";

export const reference: Reference<SliceGradientAttributes> = (inputs, { axis, start, dim }) => {
  const dy = required(inputs[0], "slice_gradient input");
  const length = dy.shape[axis] ?? 1;
  const total = Number(dim);
  const output = hostZeros(dy.shape.map((d, i) => (i === axis ? total : d)));
  const inner = dy.shape.slice(axis + 1).reduce((n, d) => n * d, 1);
  const width = length * inner;
  const outer = dy.data.length / Math.max(1, width);
  for (let row = 0; row < outer; row++) {
    output.data.set(dy.data.subarray(row * width, (row + 1) * width), (row * total + sliceStart(start, total)) * inner);
  }
  return [output];
};
