// Gradient of expert_matmul: back through the same experts, added up over the choices that read one row; and the outer
// products of each expert's rows.
import { expertMatmulGradient } from "../expert-matmul-gradient/op.ts";
import { reduce } from "../reduce/op.ts";
import { type GradientRule, required } from "../types.ts";
import { type ExpertMatmulAttributes, expertMatmul } from "./op.ts";

export const gradient: GradientRule<ExpertMatmulAttributes> = ({ inputs, attributes, gradients, needs }) => {
  const x = required(inputs[0], "x");
  const weight = required(inputs[1], "weight");
  const routing = {
    indices: required(inputs[2], "indices"),
    order: required(inputs[3], "order"),
    starts: required(inputs[4], "starts"),
  };
  const dy = required(gradients[0], "gradient of expert_matmul");
  const { transposed } = attributes;
  const dx = () => {
    const rows = expertMatmul(dy, weight, routing, !transposed);
    return x.shape.length === rows.shape.length ? rows : reduce(rows, "sum", [-2]);
  };
  return [
    needs[0] ? dx() : undefined,
    needs[1] ? expertMatmulGradient(transposed ? dy : x, transposed ? x : dy, routing) : undefined,
  ];
};
