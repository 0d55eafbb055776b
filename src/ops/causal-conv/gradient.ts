// Gradient of causal_conv: one causal_conv_gradient.
import { causalConvGradient } from "../causal-conv-gradient/op.ts";
import { type GradientRule, required } from "../types.ts";
import type { CausalConvAttributes } from "./op.ts";

export const gradient: GradientRule<CausalConvAttributes> = ({ inputs, attributes, gradients, needs }) => {
  const [x, w, bias, past] = inputs;
  const all = causalConvGradient(
    {
      x: required(x, "causal_conv x"),
      w: required(w, "causal_conv w"),
      bias,
      past,
      dy: gradients[0],
      dpresent: gradients[1],
    },
    attributes,
  );
  return all.map((tensor, i) => (inputs[i] !== undefined && needs[i] ? tensor : undefined));
};
