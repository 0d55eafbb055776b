// Reference for linear_attention: the recurrence, token by token, in float64.
import { hostZeros, type Reference, required } from "../types.ts";
import { decayReader } from "./decay.ts";
import { hasBeta, type LinearAttentionAttributes } from "./op.ts";
import { CHUNK, keyHeadOf, linearAttentionShape, queryHeadOf, readersOf } from "./shapes.ts";

export const reference: Reference<LinearAttentionAttributes> = (inputs, { rule, scale }) => {
  const [q, k, v] = [required(inputs[0], "q"), required(inputs[1], "k"), required(inputs[2], "v")];
  const [, , , decay, beta, s0] = inputs;
  const shape = linearAttentionShape("linear_attention", q, k, v);
  const { queryHeads, keyHeads, stateHeads: heads, outputHeads, keyDim: n, valueDim: p } = shape;
  const [batch = 0, time = 0] = q.shape;
  const readers = readersOf(shape);
  const chunks = Math.ceil(time / CHUNK);
  const y = hostZeros([batch, time, outputHeads, p]);
  const final = hostZeros([batch, heads, n, p]);
  const starts = hostZeros([batch, chunks, heads, n, p]);
  const decayAt = decayReader(decay);
  if (s0 !== undefined) final.data.set(s0.data);

  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const state = final.data.subarray((b * heads + h) * n * p, (b * heads + h + 1) * n * p);
      for (let t = 0; t < time; t++) {
        if (t % CHUNK === 0) starts.data.set(state, ((b * chunks + t / CHUNK) * heads + h) * n * p);
        const row = b * time + t;
        const key = (row * keyHeads + keyHeadOf(shape, h)) * n;
        for (let i = 0; i < n * p; i++) state[i] = (state[i] ?? 0) * Math.exp(decayAt(b, t, h, Math.floor(i / p)));
        for (let c = 0; c < p; c++) {
          let write = v.data[(row * heads + h) * p + c] ?? 0;
          if (hasBeta(rule)) {
            for (let i = 0; i < n; i++) write -= (state[i * p + c] ?? 0) * (k.data[key + i] ?? 0);
            write *= beta?.data[row * heads + h] ?? 0;
          }
          for (let i = 0; i < n; i++) state[i * p + c] = (state[i * p + c] ?? 0) + (k.data[key + i] ?? 0) * write;
        }
        for (let out = h * readers; out < (h + 1) * readers; out++) {
          const query = (row * queryHeads + queryHeadOf(shape, out)) * n;
          for (let c = 0; c < p; c++) {
            let read = 0;
            for (let i = 0; i < n; i++) read += (state[i * p + c] ?? 0) * (q.data[query + i] ?? 0);
            y.data[(row * outputHeads + out) * p + c] = scale * read;
          }
        }
      }
    }
  }
  return [y, final, starts];
};
