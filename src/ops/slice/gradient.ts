// Gradient of slice: the upstream gradient in its place, zeros around it.
import { dimAt } from "../../graph/shape.ts";
import { sliceGradient } from "../slice-gradient/op.ts";
import { type GradientRule, required } from "../types.ts";
import type { SliceAttributes } from "./op.ts";

export const gradient: GradientRule<SliceAttributes> = ({ inputs, attributes, gradients }) => {
  const x = required(inputs[0], "slice input");
  const { axis, start } = attributes;
  return [sliceGradient(required(gradients[0], "gradient of slice"), axis, start, dimAt(x.shape, axis))];
};
