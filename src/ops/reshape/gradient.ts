// Gradient of reshape: the upstream gradient in the input's shape.
import { type GradientRule, required } from "../types.ts";
import { type ReshapeAttributes, reshape } from "./op.ts";

export const gradient: GradientRule<ReshapeAttributes> = ({ inputs, gradients }) => [
  reshape(required(gradients[0], "gradient of reshape"), required(inputs[0], "reshape input").shape),
];
