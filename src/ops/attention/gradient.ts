// Gradient of attention: one attention_gradient, which recomputes the weights from the saved log-sum-exp.
import { GraphError } from "../../graph/shape.ts";
import { outputOf } from "../../graph/types.ts";
import { attentionGradient } from "../attention-gradient/op.ts";
import { type GradientRule, required } from "../types.ts";
import type { AttentionAttributes } from "./op.ts";

export const gradient: GradientRule<AttentionAttributes> = ({ inputs, outputs, attributes, gradients, needs }) => {
  const [q, k, v, pastKey, , , sink] = inputs;
  if (pastKey !== undefined) {
    throw new GraphError(
      "attention: no gradient through a key-value cache; differentiate a graph without past_k and past_v",
    );
  }
  const output = required(outputs[0], "output of attention");
  const result = attentionGradient(
    {
      q: required(q, "q of attention"),
      k: required(k, "k of attention"),
      v: required(v, "v of attention"),
      sink,
      output,
      logSumExp: outputOf(output, 1),
      outputGradient: gradients[0],
      logSumExpGradient: gradients[1],
    },
    attributes,
  );
  const all = [result.q, result.k, result.v, undefined, undefined, undefined, result.sink];
  return all.map((tensor, i) => (needs[i] ? tensor : undefined));
};
