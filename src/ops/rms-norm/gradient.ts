// Gradient of rms_norm: one rms_norm_gradient; with a residual, both addends receive the gradient of their sum.
import { rmsNormGradient } from "../rms-norm-gradient/op.ts";
import { type GradientRule, required } from "../types.ts";
import type { RmsNormAttributes } from "./op.ts";

export const gradient: GradientRule<RmsNormAttributes> = ({ inputs, outputs, attributes, gradients }) => {
  const [x, weight, gate, residual] = inputs;
  const [dy, dsum] = gradients;
  // Only the sum is used: its gradient is that of either addend.
  if (dy === undefined) return [dsum, undefined, undefined, dsum];
  const source = required(residual === undefined ? x : outputs[1], "rms_norm x");
  const { dx, dweight, dgate } = rmsNormGradient(source, dy, { weight, gate, dsum }, attributes);
  return [dx, dweight, dgate, residual === undefined ? undefined : dx];
};
