// Reference for reduce: every element is added (or compared) into the output element of its remaining index.
import { hostZeros, type Reference, required } from "../types.ts";
import type { ReduceAttributes } from "./op.ts";

export const reference: Reference<ReduceAttributes> = (inputs, { fn, axes, keepDims }) => {
  const x = required(inputs[0], "reduce input");
  const keptShape = x.shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim));
  const output = hostZeros(keepDims ? keptShape : x.shape.filter((_, axis) => !axes.includes(axis)));
  if (fn === "max") output.data.fill(Number.NEGATIVE_INFINITY);
  for (let i = 0; i < x.data.length; i++) {
    let rest = i;
    let target = 0;
    let stride = 1;
    for (let axis = x.shape.length - 1; axis >= 0; axis--) {
      const dim = x.shape[axis] ?? 1;
      if (!axes.includes(axis)) {
        target += (rest % dim) * stride;
        stride *= dim;
      }
      rest = Math.floor(rest / dim);
    }
    const value = x.data[i] ?? 0;
    const previous = output.data[target] ?? 0;
    output.data[target] =
      fn === "max" ? Math.max(previous, value) : previous + (fn === "sum_squares" ? value * value : value);
  }
  if (fn === "mean") {
    const count = x.data.length / Math.max(1, output.data.length);
    for (let i = 0; i < output.data.length; i++) output.data[i] = (output.data[i] ?? 0) / count;
  }
  return [output];
};
