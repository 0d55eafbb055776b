// Gradient of selective_scan: one selective_scan_gradient, which restarts from the states that the forward pass kept.
import { outputOf } from "../../graph/types.ts";
import { selectiveScanGradient } from "../selective-scan-gradient/op.ts";
import { type GradientRule, required } from "../types.ts";
import type { SelectiveScanAttributes } from "./op.ts";

export const gradient: GradientRule<SelectiveScanAttributes> = ({ inputs, outputs, attributes, gradients, needs }) => {
  const starts = outputOf(required(outputs[0], "selective_scan y"), 2);
  const all = selectiveScanGradient(inputs.slice(0, 8), starts, gradients[0], gradients[1], attributes);
  return all.map((tensor, i) => (inputs[i] !== undefined && needs[i] ? tensor : undefined));
};
