// attention_gradient in float64, pair by pair.
import { type AttentionAttributes, attentionSizes } from "../attention/sizes.ts";
import { hostZeros, type Reference, required } from "../types.ts";

export const reference: Reference<AttentionAttributes> = (inputs, { scale, causal, window, softcap }) => {
  const q = required(inputs[0], "q");
  const k = required(inputs[1], "k");
  const v = required(inputs[2], "v");
  const y = required(inputs[4], "y").data;
  const lse = required(inputs[5], "lse").data;
  const sink = inputs[3];
  const dy = inputs[6]?.data ?? new Float64Array(y.length);
  const dlse = inputs[7]?.data ?? new Float64Array(lse.length);
  const sizes = attentionSizes("attention_gradient", q, k, v);
  const { batch, queryTokens, keyTokens, queryHeads, keyHeads, keyDim, valueDim } = sizes;
  const [dq, dk, dv, dsink] = [q.shape, k.shape, v.shape, [queryHeads]].map((shape) => hostZeros(shape).data);
  if (!dq || !dk || !dv || !dsink) return [];
  const dot = (a: ArrayLike<number>, i: number, b: ArrayLike<number>, j: number, n: number): number => {
    let sum = 0;
    for (let c = 0; c < n; c++) sum += Number(a[i + c]) * Number(b[j + c]);
    return sum;
  };
  const add = (to: Float64Array, i: number, factor: number, from: ArrayLike<number>, j: number, n: number): void => {
    for (let c = 0; c < n; c++) to[i + c] = Number(to[i + c]) + factor * Number(from[j + c]);
  };
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < queryTokens; i++) {
      for (let h = 0; h < queryHeads; h++) {
        const index = (b * queryTokens + i) * queryHeads + h;
        const [query, out] = [index * keyDim, index * valueDim];
        const head = Math.floor((h * keyHeads) / queryHeads);
        const delta = dot(dy, out, y, out, valueDim) - Number(dlse[index]);
        if (sink) dsink[h] = Number(dsink[h]) - Math.exp(Number(sink.data[h]) - Number(lse[index])) * delta;
        const at = i + keyTokens - queryTokens;
        for (let j = 0; j < keyTokens; j++) {
          if ((causal && j > at) || (window > 0 && j <= at - window)) continue;
          const row = (b * keyTokens + j) * keyHeads + head;
          const [key, value] = [row * keyDim, row * valueDim];
          const product = scale * dot(q.data, query, k.data, key, keyDim);
          const capped = softcap > 0 ? Math.tanh(product / softcap) : 0;
          const weight = Math.exp((softcap > 0 ? softcap * capped : product) - Number(lse[index]));
          const slope = weight * (dot(dy, out, v.data, value, valueDim) - delta) * (1 - capped * capped) * scale;
          add(dq, query, slope, k.data, key, keyDim);
          add(dk, key, slope, q.data, query, keyDim);
          add(dv, value, weight, dy, out, valueDim);
        }
      }
    }
  }
  const host = (shape: readonly number[], data: Float64Array) => ({ shape, dtype: "f32" as const, data });
  const results = [host(q.shape, dq), host(k.shape, dk), host(v.shape, dv)];
  return sink ? [...results, host([queryHeads], dsink)] : results;
};
