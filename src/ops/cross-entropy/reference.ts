// Reference for cross_entropy: per row, the log-sum-exp minus the target's logit.
import { hostZeros, type Reference, required } from "../types.ts";
import type { CrossEntropyAttributes } from "./op.ts";

export const reference: Reference<CrossEntropyAttributes> = (inputs, { ignore }) => {
  const logits = required(inputs[0], "logits");
  const targets = required(inputs[1], "targets");
  const classes = logits.shape.at(-1) ?? 1;
  const lse = hostZeros(targets.shape);
  let sum = 0;
  let count = 0;
  for (const [row, target] of targets.data.entries()) {
    const x = Array.from(logits.data.subarray(row * classes, (row + 1) * classes));
    const largest = x.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const value = largest + Math.log(x.reduce((total, v) => total + Math.exp(v - largest), 0));
    lse.data[row] = value;
    if (target === ignore) continue;
    sum += value - (x[target] ?? Number.NaN);
    count++;
  }
  return [
    { shape: [], dtype: "f32", data: Float64Array.of(count === 0 ? 0 : sum / count) },
    lse,
    { shape: [], dtype: "f32", data: Float64Array.of(count) },
  ];
};
