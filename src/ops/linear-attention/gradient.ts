// Gradient of linear_attention: one linear_attention_gradient, which restarts from the states of the forward pass.
import { outputOf } from "../../graph/types.ts";
import { linearAttentionGradient } from "../linear-attention-gradient/op.ts";
import { sumTo } from "../reduce/op.ts";
import { type GradientRule, required } from "../types.ts";
import type { LinearAttentionAttributes } from "./op.ts";

export const gradient: GradientRule<LinearAttentionAttributes> = ({
  inputs,
  outputs,
  attributes,
  gradients,
  needs,
}) => {
  const [q, k, v, decay, beta, s0] = inputs;
  const result = linearAttentionGradient(
    {
      q: required(q, "q of linear_attention"),
      k: required(k, "k of linear_attention"),
      v: required(v, "v of linear_attention"),
      decay,
      beta,
      starts: outputOf(required(outputs[0], "output of linear_attention"), 2),
      outputGradient: gradients[0],
      finalStateGradient: gradients[1],
    },
    attributes,
  );
  const all = [
    result.q,
    result.k,
    result.v,
    decay && needs[3] ? sumTo(result.decay, decay.shape) : undefined,
    beta ? result.beta : undefined,
    s0 ? result.initialState : undefined,
  ];
  return all.map((tensor, i) => (needs[i] ? tensor : undefined));
};
