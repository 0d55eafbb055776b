// long_convolution: causal convolution over time with a kernel as long as the sequence, one per channel.
import { dimAt, fixedDimAt, formatShape, GraphError, type TensorType } from "../../graph/shape.ts";
import { applyOne, type OpDefinition, type Tensor } from "../../graph/types.ts";

/** long_convolution has no attributes. */
export type LongConvolutionAttributes = Readonly<Record<string, never>>;

/** Checks u [B, T, D] and K [D, T]; throws GraphError naming `op`. */
export function checkLongConvolution(op: string, u: TensorType | undefined, kernel: TensorType | undefined): void {
  if (u === undefined || kernel === undefined) throw new GraphError(`${op}: ${u === undefined ? "u" : "K"} is missing`);
  const shapes = `u ${formatShape(u.shape)}, K ${formatShape(kernel.shape)}`;
  if (u.dtype !== "f32" || kernel.dtype !== "f32") throw new GraphError(`${op}: u and K must be f32 (${shapes})`);
  if (u.shape.length !== 3) throw new GraphError(`${op}: u must be [batch, time, channels] (${shapes})`);
  const channels = fixedDimAt(u.shape, 2);
  const fits =
    kernel.shape.length === 2 && dimAt(kernel.shape, 0) === channels && dimAt(kernel.shape, 1) === dimAt(u.shape, 1);
  if (!fits) throw new GraphError(`${op}: K must be [channels, time] of u (${shapes})`);
}

/**
 * Multiply-adds of two real sequences per complex transform of n points, n ≥ 2T: 5 n log2 n operations each way, two rows at
 * a time; `transforms` counts those of all rows.
 */
export function transformFlops(shape: readonly number[], transforms: number): number {
  const [batch = 0, tokens = 1, channels = 0] = shape;
  const n = 2 ** Math.ceil(Math.log2(2 * tokens));
  return (batch * channels * transforms * 5 * n * Math.log2(n)) / 2;
}

/** Inputs u, K; output y. See {@link longConvolution}. */
export const longConvolutionOp: OpDefinition<LongConvolutionAttributes> = {
  name: "long_convolution",
  infer: ([u, kernel]) => {
    checkLongConvolution("long_convolution", u, kernel);
    return [{ shape: u?.shape ?? [], dtype: "f32" }];
  },
  flops: ([u]) => transformFlops(u?.shape ?? [], 2),
};

/**
 * y[b, t, d] = Σ_{s ≤ t} K[d, t − s] · u[b, s, d]: the convolution form of a time-invariant state-space model (Gu, Goel, Ré
 * 2021, arXiv 2111.00396, equation 5). u f32 [B, T, D], K f32 [D, T] → y f32 [B, T, D]. Throws GraphError where shapes do
 * not fit.
 */
export function longConvolution(u: Tensor, kernel: Tensor): Tensor {
  return applyOne(longConvolutionOp, [u, kernel], {});
}
