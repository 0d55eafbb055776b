// Gradient of rg_lru: the recurrence backwards.
import { rgLruGradient } from "../rg-lru-gradient/op.ts";
import { type GradientRule, required } from "../types.ts";
import type { RgLruAttributes } from "./op.ts";

export const gradient: GradientRule<RgLruAttributes> = ({ inputs, outputs, gradients, needs }) => {
  const { dx, dLogA, dh0 } = rgLruGradient({
    x: required(inputs[0], "rg_lru x"),
    logA: required(inputs[1], "rg_lru log_a"),
    position: inputs[2],
    initialState: inputs[3],
    y: required(outputs[0], "rg_lru y"),
    dy: gradients[0],
    dhT: gradients[1],
  });
  return [needs[0] ? dx : undefined, needs[1] ? dLogA : undefined, undefined, needs[3] ? dh0 : undefined];
};
