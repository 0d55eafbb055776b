// Reference for matmul: the definition, one output element at a time.
import { hostZeros, type Reference, required } from "../types.ts";
import { type MatmulAttributes, productSizes } from "./op.ts";

export const reference: Reference<MatmulAttributes> = (inputs, attributes) => {
  const a = required(inputs[0], "matmul a");
  const b = required(inputs[1], "matmul b");
  const bias = inputs[2];
  const { leading, m, n, k, shared } = productSizes(a.shape, b.shape, attributes);
  const rows = m ?? 1;
  const out = hostZeros([...leading, ...(m === undefined ? [] : [m]), n]);
  const batch = leading.reduce((product, dim) => product * dim, 1);
  for (let z = 0; z < batch; z++) {
    const matrixA = a.data.subarray(z * rows * k);
    const matrixB = shared ? b.data : b.data.subarray(z * k * n);
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < n; j++) {
        let sum = bias?.data[j] ?? 0;
        for (let p = 0; p < k; p++) {
          const x = matrixA[attributes.transposeA ? p * rows + i : i * k + p] ?? 0;
          const y = matrixB[attributes.transposeB ? j * k + p : p * n + j] ?? 0;
          sum += x * y;
        }
        out.data[(z * rows + i) * n + j] = sum;
      }
    }
  }
  return [out];
};
