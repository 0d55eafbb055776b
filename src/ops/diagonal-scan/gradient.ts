// diagonal_scan is the form for inference: its gradient is refused, and the error says what to train with.
import { GraphError } from "../../graph/shape.ts";
import type { GradientRule } from "../types.ts";
import type { DiagonalScanAttributes } from "./op.ts";

export const gradient: GradientRule<DiagonalScanAttributes> = () => {
  throw new GraphError(
    "diagonal_scan has no gradient: train with the convolution form, long_convolution of s4d_kernel, which is equal to it",
  );
};
