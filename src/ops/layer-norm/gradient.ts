// Gradient of layer_norm: one layer_norm_gradient; with a residual, both addends receive the gradient of their sum.
import { layerNormGradient } from "../layer-norm-gradient/op.ts";
import { type GradientRule, required } from "../types.ts";
import type { LayerNormAttributes } from "./op.ts";

export const gradient: GradientRule<LayerNormAttributes> = ({ inputs, outputs, attributes, gradients }) => {
  const [x, weight, bias, residual] = inputs;
  const [dy, dsum] = gradients;
  if (dy === undefined) return [dsum, undefined, undefined, dsum];
  const source = required(residual === undefined ? x : outputs[1], "layer_norm x");
  const { dx, dweight, dbias } = layerNormGradient(source, dy, { weight, dsum }, attributes);
  return [dx, dweight, bias === undefined ? undefined : dbias, residual === undefined ? undefined : dx];
};
