// Gradient of gru: the recurrence backwards, then the weight's gradient as one matrix product over all tokens.
import { outputOf } from "../../graph/types.ts";
import { gruGradient } from "../gru-gradient/op.ts";
import { matmulGradient } from "../matmul-gradient/op.ts";
import { reduce } from "../reduce/op.ts";
import { type GradientRule, required } from "../types.ts";
import type { GruAttributes } from "./op.ts";

export const gradient: GradientRule<GruAttributes> = ({ inputs, outputs, gradients, needs }) => {
  const y = required(outputs[0], "gru y");
  const { dx, dGates, dh0, previous } = gruGradient({
    weight: required(inputs[1], "gru w_hh"),
    y,
    gates: outputOf(y, 2),
    initialState: inputs[3],
    dy: gradients[0],
    dhT: gradients[1],
  });
  return [
    needs[0] ? dx : undefined,
    needs[1] ? matmulGradient(previous, dGates, { transposeB: true }) : undefined,
    needs[2] ? reduce(dGates, "sum", [0, 1]) : undefined,
    needs[3] ? dh0 : undefined,
  ];
};
