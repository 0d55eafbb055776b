// Gradient of transpose: transposed by the inverse permutation.
import { type GradientRule, required } from "../types.ts";
import { type TransposeAttributes, transpose } from "./op.ts";

export const gradient: GradientRule<TransposeAttributes> = ({ attributes, gradients }) => {
  const inverse = attributes.permutation.map((_, axis) => attributes.permutation.indexOf(axis));
  return [transpose(required(gradients[0], "gradient of transpose"), inverse)];
};
