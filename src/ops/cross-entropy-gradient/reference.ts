// Reference for cross_entropy_gradient, as in op.ts.
import type { CrossEntropyAttributes } from "../cross-entropy/op.ts";
import { hostZeros, type Reference, required } from "../types.ts";

export const reference: Reference<CrossEntropyAttributes> = (inputs, { ignore }) => {
  const logits = required(inputs[0], "logits");
  const targets = required(inputs[1], "targets");
  const lse = required(inputs[2], "lse");
  const count = required(inputs[3], "count").data[0] ?? 0;
  const dloss = inputs[4]?.data[0] ?? 0;
  const classes = logits.shape.at(-1) ?? 1;
  const dlogits = hostZeros(logits.shape);
  for (const [row, target] of targets.data.entries()) {
    const valid = target >= 0 && target < classes;
    const g = target === ignore ? 0 : valid ? dloss / count : Number.NaN;
    const factor = g + (inputs[5]?.data[row] ?? 0);
    for (let c = 0; c < classes; c++) {
      const i = row * classes + c;
      const probability = Math.exp((logits.data[i] ?? 0) - (lse.data[row] ?? 0));
      dlogits.data[i] = probability * factor - (c === target ? g : 0);
    }
  }
  return [dlogits];
};
