// Reference for transpose: output element at index i comes from the input element at the permuted index.
import { hostZeros, type Reference, required } from "../types.ts";
import type { TransposeAttributes } from "./op.ts";

export const reference: Reference<TransposeAttributes> = (inputs, { permutation }) => {
  const x = required(inputs[0], "transpose input");
  const output = hostZeros(permutation.map((axis) => x.shape[axis] ?? 1));
  const strides = x.shape.map((_, axis) => x.shape.slice(axis + 1).reduce((n, d) => n * d, 1));
  for (let i = 0; i < output.data.length; i++) {
    let rest = i;
    let source = 0;
    for (let axis = output.shape.length - 1; axis >= 0; axis--) {
      const dim = output.shape[axis] ?? 1;
      source += (rest % dim) * (strides[permutation[axis] ?? 0] ?? 0);
      rest = Math.floor(rest / dim);
    }
    output.data[i] = x.data[source] ?? 0;
  }
  return [output];
};
