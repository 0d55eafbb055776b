// Gradient of map: dx_i = Σ over stretched axes of dy · ∂expression/∂x_i.
import * as ex from "../../graph/expression.ts";
import { sumTo } from "../reduce/op.ts";
import { type GradientRule, required } from "../types.ts";
import { type MapAttributes, map } from "./op.ts";

export const gradient: GradientRule<MapAttributes> = ({ inputs, attributes, gradients, needs }) => {
  const operands = inputs.map((tensor) => required(tensor, "map input"));
  const dy = required(gradients[0], "gradient of map");
  return operands.map((operand, i) => {
    const derivative = ex.derivative(attributes.expression, i);
    // An operand that only a condition reads has no gradient.
    if (!needs[i] || (derivative.kind === "constant" && derivative.value === 0)) return undefined;
    const partial = ex.mul(ex.input(operands.length), derivative);
    return sumTo(map([...operands, dy], partial), operand.shape);
  });
};
