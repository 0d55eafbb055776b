// Gradient of cross_entropy: one cross_entropy_gradient, from the logits and their log-sum-exp.
import { crossEntropyGradient } from "../cross-entropy-gradient/op.ts";
import { type GradientRule, required } from "../types.ts";
import type { CrossEntropyAttributes } from "./op.ts";

export const gradient: GradientRule<CrossEntropyAttributes> = ({ inputs, outputs, attributes, gradients }) => {
  const [logits, targets] = inputs;
  const [, lse, count] = outputs;
  const [dloss, dlse] = gradients;
  if (dloss === undefined && dlse === undefined) return [undefined, undefined];
  const forward = {
    logits: required(logits, "logits"),
    targets: required(targets, "targets"),
    lse: required(lse, "lse"),
    count: required(count, "count"),
  };
  return [crossEntropyGradient(forward, { dloss, dlse }, attributes), undefined];
};
