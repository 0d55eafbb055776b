// Gradient of wkv: the sums backwards, from the states that the forward pass keeps.
import { outputOf } from "../../graph/types.ts";
import { reduce } from "../reduce/op.ts";
import { type GradientRule, required } from "../types.ts";
import { wkvGradient } from "../wkv-gradient/op.ts";
import type { WkvAttributes } from "./op.ts";

export const gradient: GradientRule<WkvAttributes> = ({ inputs, outputs, gradients, needs }) => {
  const y = required(outputs[0], "wkv y");
  const { dk, dv, dw, du, ds0 } = wkvGradient({
    k: required(inputs[0], "wkv k"),
    v: required(inputs[1], "wkv v"),
    w: required(inputs[2], "wkv w"),
    u: required(inputs[3], "wkv u"),
    states: outputOf(y, 2),
    finalState: gradients[1] === undefined ? undefined : outputOf(y, 1),
    dy: gradients[0],
    dsT: gradients[1],
  });
  return [
    needs[0] ? dk : undefined,
    needs[1] ? dv : undefined,
    needs[2] ? reduce(dw, "sum", [0]) : undefined,
    needs[3] ? reduce(du, "sum", [0]) : undefined,
    needs[4] ? ds0 : undefined,
  ];
};
