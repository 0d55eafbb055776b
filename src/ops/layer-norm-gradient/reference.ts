// Reference for layer_norm_gradient: row by row, formulas as in op.ts.
import type { LayerNormAttributes } from "../layer-norm/op.ts";
import { rowMoments } from "../layer-norm/reference.ts";
import { hostZeros, type Reference, required } from "../types.ts";

export const reference: Reference<LayerNormAttributes> = ([input, weight, upstream, dsum], { eps }) => {
  const x = required(input, "layer_norm_gradient x");
  const dy = required(upstream, "layer_norm_gradient dy");
  const channels = x.shape.at(-1) ?? 1;
  const dx = hostZeros(x.shape);
  const dweight = hostZeros([channels]);
  const dbias = hostZeros([channels]);
  for (let start = 0; start < x.data.length; start += channels) {
    const row = Float64Array.from(x.data.subarray(start, start + channels));
    const [mean, inverse] = rowMoments(row, eps);
    const n = row.map((v) => (v - mean) * inverse);
    const e = row.map((_, c) => (dy.data[start + c] ?? 0) * (weight?.data[c] ?? 1));
    const meanE = e.reduce((total, v) => total + v, 0) / channels;
    const meanEN = e.reduce((total, v, c) => total + v * (n[c] ?? 0), 0) / channels;
    for (let c = 0; c < channels; c++) {
      const d = dy.data[start + c] ?? 0;
      dx.data[start + c] = inverse * ((e[c] ?? 0) - meanE - (n[c] ?? 0) * meanEN) + (dsum?.data[start + c] ?? 0);
      dweight.data[c] = (dweight.data[c] ?? 0) + d * (n[c] ?? 0);
      dbias.data[c] = (dbias.data[c] ?? 0) + d;
    }
  }
  return [dx, dweight, dbias];
};
