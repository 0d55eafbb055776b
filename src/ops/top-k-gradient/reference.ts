// Reference for top_k_gradient: the equations of op.ts, one row at a time.

import type { TopKAttributes } from "../top-k/op.ts";
import { scoresOf } from "../top-k/reference.ts";
import { hostZeros, type Reference, required } from "../types.ts";

export const reference: Reference<TopKAttributes> = (inputs, { k, score, normalize, normalizeEps, scale }) => {
  const logits = required(inputs[0], "logits");
  const indices = required(inputs[1], "indices");
  const dweights = required(inputs[2], "dweights");
  const dlogits = hostZeros(logits.shape);
  const experts = dlogits.shape.at(-1) ?? 1;
  for (let row = 0; row < dlogits.data.length / experts; row++) {
    const scores = scoresOf(logits.data.subarray(row * experts, (row + 1) * experts), score);
    const chosen = Array.from(indices.data.subarray(row * k, (row + 1) * k));
    const dw = Array.from(dweights.data.subarray(row * k, (row + 1) * k));
    const scoreOf = (i: number): number => scores[i] ?? 0;
    const sum = normalize ? chosen.reduce((total, i) => total + scoreOf(i), 0) + normalizeEps : 1;
    const mean = normalize ? chosen.reduce((total, i, j) => total + ((dw[j] ?? 0) * scoreOf(i)) / sum, 0) : 0;
    const c = chosen.map((i, j) => ((scale * scoreOf(i)) / sum) * ((dw[j] ?? 0) - mean));
    const all = c.reduce((total, value) => total + value, 0);
    for (let i = 0; i < experts; i++) {
      const own = c[chosen.lastIndexOf(i)] ?? 0;
      dlogits.data[row * experts + i] = score === "softmax" ? own - scoreOf(i) * all : own * (1 - scoreOf(i));
    }
  }
  return [dlogits];
};
