// Reference for top_k: one row at a time, as defined.
import { sigmoidValue } from "../../graph/expression.ts";
import { hostZeros, type Reference, required } from "../types.ts";
import type { TopKAttributes } from "./op.ts";

/** softmax or sigmoid of a row of logits. */
export function scoresOf(logits: ArrayLike<number>, score: TopKAttributes["score"]): number[] {
  const row = Array.from(logits);
  if (score === "sigmoid") return row.map(sigmoidValue);
  const largest = Math.max(...row);
  const powers = row.map((logit) => Math.exp(logit - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** Positions of the `count` largest, best first; of equals the lower one. */
function largestOf(values: readonly number[], count: number): number[] {
  const order = values.map((_, i) => i).sort((i, j) => (values[j] ?? 0) - (values[i] ?? 0) || i - j);
  return order.slice(0, count);
}

/** The experts that may be chosen, by whether their group is one of the best. */
function openExperts(choice: readonly number[], { groups, topGroups }: TopKAttributes): number[] {
  const width = choice.length / groups;
  const totals = Array.from({ length: groups }, (_, g) => {
    const members = choice.slice(g * width, (g + 1) * width);
    return largestOf(members, 2).reduce((total, i) => total + (members[i] ?? 0), 0);
  });
  const best = new Set(largestOf(totals, topGroups));
  return choice.flatMap((_, i) => (best.has(Math.floor(i / width)) ? [i] : []));
}

export const reference: Reference<TopKAttributes> = ([given, bias], attributes) => {
  const logits = required(given, "logits");
  const { k, score, normalize, normalizeEps, scale } = attributes;
  const experts = logits.shape.at(-1) ?? 1;
  const shape = [...logits.shape.slice(0, -1), k];
  const weights = hostZeros(shape);
  const indices = new Int32Array(weights.data.length);
  for (let row = 0; row < logits.data.length / experts; row++) {
    const scores = scoresOf(logits.data.subarray(row * experts, (row + 1) * experts), score);
    const choice = scores.map((s, i) => s + (bias?.data[i] ?? 0));
    const open = openExperts(choice, attributes);
    const chosen = largestOf(
      open.map((i) => choice[i] ?? 0),
      k,
    ).map((i) => open[i] ?? 0);
    const sum = chosen.reduce((total, i) => total + (scores[i] ?? 0), 0);
    for (const [j, i] of chosen.entries()) {
      indices[row * k + j] = i;
      weights.data[row * k + j] = (scale * (scores[i] ?? 0)) / (normalize ? sum + normalizeEps : 1);
    }
  }
  return [weights, { shape, dtype: "i32", data: indices }];
};
