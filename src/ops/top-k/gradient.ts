// Gradient of top_k: through the weights to the logits. What is chosen does not depend smoothly on anything.
import { topKGradient } from "../top-k-gradient/op.ts";
import { type GradientRule, required } from "../types.ts";
import type { TopKAttributes } from "./op.ts";

export const gradient: GradientRule<TopKAttributes> = ({ inputs, outputs, attributes, gradients, needs }) => {
  const dweights = gradients[0];
  if (!needs[0] || dweights === undefined) return [undefined, undefined];
  return [
    topKGradient(required(inputs[0], "logits"), required(outputs[1], "indices"), dweights, attributes),
    undefined,
  ];
};
