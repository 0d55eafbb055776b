// Reference for expert_matmul_gradient: every row adds an outer product to its expert's matrix.
import { rowsPerInput } from "../expert-matmul/op.ts";
import { expertOf } from "../group-rows/reference.ts";
import { hostZeros, type Reference, required } from "../types.ts";
import type { ExpertMatmulGradientAttributes } from "./op.ts";

export const reference: Reference<ExpertMatmulGradientAttributes> = (inputs) => {
  const x = required(inputs[0], "x");
  const dy = required(inputs[1], "dy");
  const indices = required(inputs[2], "indices");
  const experts = (inputs[4]?.shape[0] ?? 2) - 1;
  const [n, k] = [dy.shape.at(-1) ?? 1, x.shape.at(-1) ?? 1];
  const dweight = hostZeros([experts, n, k]);
  for (const [row, index] of indices.data.entries()) {
    const matrix = dweight.data.subarray(expertOf(index, experts) * n * k);
    const from = Math.floor(row / rowsPerInput(x, indices)) * k;
    const back = Math.floor(row / rowsPerInput(dy, indices)) * n;
    for (let j = 0; j < n; j++) {
      for (let i = 0; i < k; i++) {
        matrix[j * k + i] = (matrix[j * k + i] ?? 0) + (dy.data[back + j] ?? 0) * (x.data[from + i] ?? 0);
      }
    }
  }
  return [dweight];
};
