// Gradient of concat: each input gets its range of the upstream gradient.
import { fixedDimAt } from "../../graph/shape.ts";
import { slice } from "../slice/op.ts";
import { type GradientRule, required } from "../types.ts";
import type { ConcatAttributes } from "./op.ts";

export const gradient: GradientRule<ConcatAttributes> = ({ inputs, attributes, gradients }) => {
  const dy = required(gradients[0], "gradient of concat");
  let start = 0;
  return inputs.map((tensor) => {
    const length = fixedDimAt(required(tensor, "concat input").shape, attributes.axis);
    start += length;
    return slice(dy, attributes.axis, start - length, length);
  });
};
