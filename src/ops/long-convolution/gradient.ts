// Gradient of long_convolution: two correlations, which share the transform of dy.
import { longConvolutionGradient } from "../long-convolution-gradient/op.ts";
import { type GradientRule, required } from "../types.ts";
import type { LongConvolutionAttributes } from "./op.ts";

export const gradient: GradientRule<LongConvolutionAttributes> = ({ inputs, gradients, needs }) => {
  const { du, dK } = longConvolutionGradient(
    required(inputs[0], "long_convolution u"),
    required(inputs[1], "long_convolution K"),
    required(gradients[0], "gradient of long_convolution"),
  );
  return [needs[0] ? du : undefined, needs[1] ? dK : undefined];
};
