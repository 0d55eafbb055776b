// The gated short convolution of LFM2 (Liquid AI 2025): a mixer that sees a few tokens, and costs little more than an MLP.
import type { Tensor } from "../graph/types.ts";
import { mul } from "../ops/map/op.ts";
import type { ShortConvSpec } from "../spec/types.ts";
import type { BlockContext } from "./context.ts";
import { convolve, project, projectOut } from "./projections.ts";

/** x [B, T, width] → [B, T, d_model]. State: conv [B, d_conv - 1, d_model]. */
export function shortConv(x: Tensor, spec: ShortConvSpec, context: BlockContext): Tensor {
  const part = (name: string): Tensor => project(x, `in_proj_${name}`, context.width, context, spec.bias);
  const mixed = convolve(mul(part("B"), part("x")), "conv", spec.d_conv, context, spec.conv_bias, "none");
  return projectOut(mul(part("C"), mixed), "out_proj", context, spec.bias);
}
