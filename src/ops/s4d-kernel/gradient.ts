// Gradient of s4d_kernel: one s4d_kernel_gradient, which sums the upstream gradient against the powers of Ā again.
import { s4dKernelGradient } from "../s4d-kernel-gradient/op.ts";
import { type GradientRule, required } from "../types.ts";
import type { S4dKernelAttributes } from "./op.ts";

export const gradient: GradientRule<S4dKernelAttributes> = ({ inputs, attributes, gradients, needs }) => {
  const { discretization } = attributes;
  const all = s4dKernelGradient(inputs, required(gradients[0], "gradient of s4d_kernel"), { discretization });
  return all.map((tensor, i) => (needs[i] ? tensor : undefined));
};
