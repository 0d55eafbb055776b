// Reference for expert_matmul: each row by its own expert, whatever the order.
import { expertOf } from "../group-rows/reference.ts";
import { hostZeros, type Reference, required } from "../types.ts";
import { type ExpertMatmulAttributes, rowsPerInput } from "./op.ts";

export const reference: Reference<ExpertMatmulAttributes> = (inputs, { transposed }) => {
  const x = required(inputs[0], "x");
  const weight = required(inputs[1], "weight");
  const indices = required(inputs[2], "indices");
  const [experts = 1, n = 1, k = 1] = weight.shape;
  const [features, depth] = transposed ? [k, n] : [n, k];
  const per = rowsPerInput(x, indices);
  const y = hostZeros([...indices.shape, features]);
  for (const [row, index] of indices.data.entries()) {
    const matrix = weight.data.subarray(expertOf(index, experts) * n * k);
    const from = Math.floor(row / per) * depth;
    for (let j = 0; j < features; j++) {
      let sum = 0;
      for (let i = 0; i < depth; i++)
        sum += (matrix[transposed ? i * k + j : j * k + i] ?? 0) * (x.data[from + i] ?? 0);
      y.data[row * features + j] = sum;
    }
  }
  return [y];
};
