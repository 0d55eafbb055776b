// Reference for slice: rows of `length · inner` elements out of rows of `dim · inner`.
import { hostZeros, type Reference, required } from "../types.ts";
import { type SliceAttributes, sliceStart } from "./op.ts";

export const reference: Reference<SliceAttributes> = (inputs, { axis, start, length }) => {
  const x = required(inputs[0], "slice input");
  const dim = x.shape[axis] ?? 1;
  const shape = x.shape.map((d, i) => (i === axis ? length : d));
  const inner = x.shape.slice(axis + 1).reduce((n, d) => n * d, 1);
  const data = x.dtype === "i32" ? new Int32Array(shape.reduce((n, d) => n * d, 1)) : hostZeros(shape).data;
  const outer = data.length / Math.max(1, length * inner);
  for (let row = 0; row < outer; row++) {
    const from = (row * dim + sliceStart(start, dim)) * inner;
    data.set(x.data.subarray(from, from + length * inner), row * length * inner);
  }
  return [{ shape, dtype: x.dtype, data }];
};
