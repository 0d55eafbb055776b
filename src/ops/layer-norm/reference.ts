// Reference for layer_norm: mean, then variance, then the affine map, row by row.
import { hostZeros, type Reference, required } from "../types.ts";
import type { LayerNormAttributes } from "./op.ts";

/** Mean and 1 / sqrt(variance + eps) of a row. */
export function rowMoments(row: Float64Array, eps: number): readonly [mean: number, inverse: number] {
  const mean = row.reduce((total, v) => total + v, 0) / row.length;
  const variance = row.reduce((total, v) => total + (v - mean) ** 2, 0) / row.length;
  return [mean, 1 / Math.sqrt(variance + eps)];
}

export const reference: Reference<LayerNormAttributes> = ([input, weight, bias, residual], { eps }) => {
  const x = required(input, "layer_norm x");
  const channels = x.shape.at(-1) ?? 1;
  const y = hostZeros(x.shape);
  const sum = hostZeros(x.shape);
  for (let i = 0; i < sum.data.length; i++) sum.data[i] = (x.data[i] ?? 0) + (residual?.data[i] ?? 0);
  for (let start = 0; start < sum.data.length; start += channels) {
    const [mean, inverse] = rowMoments(sum.data.subarray(start, start + channels), eps);
    for (let c = 0; c < channels; c++) {
      y.data[start + c] = ((sum.data[start + c] ?? 0) - mean) * inverse * (weight?.data[c] ?? 1) + (bias?.data[c] ?? 0);
    }
  }
  return residual === undefined ? [y] : [y, sum];
};
