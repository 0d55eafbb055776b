// Gradient of gather: the rows of dy added up where they came from.
import { fixedDimAt } from "../../graph/shape.ts";
import { gatherGradient } from "../gather-gradient/op.ts";
import { type GradientRule, required } from "../types.ts";
import type { GatherAttributes } from "./op.ts";

export const gradient: GradientRule<GatherAttributes> = ({ inputs, gradients, needs }) => {
  const table = required(inputs[0], "table");
  const indices = required(inputs[1], "indices");
  const dy = required(gradients[0], "gradient of gather");
  return [needs[0] ? gatherGradient(indices, dy, fixedDimAt(table.shape, 0)) : undefined, undefined];
};
