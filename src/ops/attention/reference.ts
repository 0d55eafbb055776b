// attention in float64, from its definition: for each query the list of keys it sees, then a softmax.
import { type HostTensor, hostZeros, type Reference, required } from "../types.ts";
import { type AttentionAttributes, attentionSizes } from "./sizes.ts";

/** Where a visible key and its value are: rows of [.., Hk, d] and [.., Hk, dv] of the new tensors or of the cache. */
interface Seen {
  readonly keys: HostTensor;
  readonly values: HostTensor;
  /** Row over batch and tokens or slots. */
  readonly row: number;
}

export const reference: Reference<AttentionAttributes> = (inputs, attributes) => {
  const q = required(inputs[0], "q");
  const k = required(inputs[1], "k");
  const v = required(inputs[2], "v");
  const [, , , pastKey, pastValue, position, sink] = inputs;
  const sizes = attentionSizes("attention", q, k, v);
  const { batch, queryTokens, keyTokens, queryHeads, keyHeads, keyDim, valueDim } = sizes;
  const { scale, causal, window, softcap } = attributes;
  const y = hostZeros([batch, queryTokens, queryHeads, valueDim]);
  const lse = hostZeros([batch, queryTokens, queryHeads]);
  const capacity = pastKey?.shape[1] ?? 0;

  for (let b = 0; b < batch; b++) {
    const before = pastKey ? Number(position?.data[b] ?? 0) : 0;
    for (let i = 0; i < queryTokens; i++) {
      const at = before + i + keyTokens - queryTokens;
      const seen: Seen[] = [];
      for (let j = before - Math.min(before, capacity); j < before + keyTokens; j++) {
        if ((causal && j > at) || (window > 0 && j <= at - window)) continue;
        if (j >= before) seen.push({ keys: k, values: v, row: b * keyTokens + j - before });
        else if (pastKey && pastValue)
          seen.push({ keys: pastKey, values: pastValue, row: b * capacity + (j % capacity) });
      }
      for (let h = 0; h < queryHeads; h++) {
        const head = Math.floor((h * keyHeads) / queryHeads);
        const query = ((b * queryTokens + i) * queryHeads + h) * keyDim;
        const scores = seen.map(({ keys, row }) => {
          let dot = 0;
          for (let c = 0; c < keyDim; c++) {
            dot += Number(q.data[query + c]) * Number(keys.data[(row * keyHeads + head) * keyDim + c]);
          }
          return softcap > 0 ? softcap * Math.tanh((scale * dot) / softcap) : scale * dot;
        });
        const logits = sink ? [...scores, Number(sink.data[h])] : scores;
        const top = logits.reduce((a, s) => Math.max(a, s), Number.NEGATIVE_INFINITY);
        const sum = logits.reduce((total, s) => total + Math.exp(s - top), 0);
        const index = (b * queryTokens + i) * queryHeads + h;
        lse.data[index] = logits.length === 0 ? Number.NEGATIVE_INFINITY : top + Math.log(sum);
        for (const [n, { values, row }] of seen.entries()) {
          const weight = Math.exp((scores[n] ?? 0) - top) / sum;
          for (let c = 0; c < valueDim; c++) {
            y.data[index * valueDim + c] =
              (y.data[index * valueDim + c] ?? 0) +
              weight * Number(values.data[(row * keyHeads + head) * valueDim + c]);
          }
        }
      }
    }
  }
  if (!pastKey || !pastValue || !position) return [y, lse];
  return [y, lse, written(pastKey, k, position), written(pastValue, v, position)];
};

/** A ring buffer after the new rows are written; where they outnumber the slots, the later ones stay. */
function written(past: HostTensor, rows: HostTensor, position: HostTensor): HostTensor {
  const [batch = 0, capacity = 0, heads = 0, channels = 0] = past.shape;
  const tokens = rows.shape[1] ?? 0;
  const width = heads * channels;
  const present = Float64Array.from(past.data);
  for (let b = 0; b < batch && capacity > 0; b++) {
    for (let t = 0; t < tokens; t++) {
      const slot = (Number(position.data[b]) + t) % capacity;
      const from = (b * tokens + t) * width;
      present.set(rows.data.subarray(from, from + width), (b * capacity + slot) * width);
    }
  }
  return { shape: past.shape, dtype: "f32", data: present };
}
