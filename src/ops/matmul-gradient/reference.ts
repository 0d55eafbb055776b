// Reference for matmul_gradient: every row adds the outer product of x and dy.
import { hostZeros, type Reference, required } from "../types.ts";
import type { MatmulGradientAttributes } from "./op.ts";

export const reference: Reference<MatmulGradientAttributes> = (inputs, { transposeB }) => {
  const x = required(inputs[0], "matmul_gradient x");
  const dy = required(inputs[1], "matmul_gradient dy");
  const k = x.shape.at(-1) ?? 1;
  const n = dy.shape.at(-1) ?? 1;
  const out = hostZeros(transposeB ? [n, k] : [k, n]);
  for (let r = 0; r < x.data.length / k; r++) {
    for (let i = 0; i < k; i++) {
      for (let j = 0; j < n; j++) {
        const at = transposeB ? j * k + i : i * n + j;
        out.data[at] = (out.data[at] ?? 0) + (x.data[r * k + i] ?? 0) * (dy.data[r * n + j] ?? 0);
      }
    }
  }
  return [out];
};
