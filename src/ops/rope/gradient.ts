// Gradient of rope: a rotation's transpose is the rotation back. Frequencies are constants and get none.
import { GraphError } from "../../graph/shape.ts";
import { type GradientRule, required } from "../types.ts";
import { type RopeAttributes, rope } from "./op.ts";

export const gradient: GradientRule<RopeAttributes> = ({ inputs, attributes, gradients, needs }) => {
  if (needs[1]) throw new GraphError("rope: no gradient with respect to inv_freq");
  const frequencies = required(inputs[1], "inv_freq of rope");
  const dy = required(gradients[0], "gradient of rope");
  const { attentionScaling, inverse } = attributes;
  const options = { positions: inputs[2], attentionScaling, inverse: !inverse };
  return [needs[0] ? rope(dy, frequencies, options) : undefined, undefined, undefined];
};
