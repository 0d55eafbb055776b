// long_convolution_gradient: gradients of a causal convolution with respect to the sequence and to the kernel.
import { formatShape, GraphError, sameShape } from "../../graph/shape.ts";
import { apply, type OpDefinition, type Tensor } from "../../graph/types.ts";
import { checkLongConvolution, type LongConvolutionAttributes, transformFlops } from "../long-convolution/op.ts";
import { required } from "../types.ts";

/** Inputs u, K, dy; outputs du, dK. See {@link longConvolutionGradient}. */
export const longConvolutionGradientOp: OpDefinition<LongConvolutionAttributes> = {
  name: "long_convolution_gradient",
  infer: ([u, kernel, dy]) => {
    const op = "long_convolution_gradient";
    checkLongConvolution(op, u, kernel);
    if (u === undefined || kernel === undefined || dy === undefined) throw new GraphError(`${op}: dy is missing`);
    if (!sameShape(dy.shape, u.shape)) {
      throw new GraphError(`${op}: dy ${formatShape(dy.shape)} is not ${formatShape(u.shape)}`);
    }
    return [u, kernel].map(({ shape }) => ({ shape, dtype: "f32" }));
  },
  flops: ([u]) => transformFlops(u?.shape ?? [], 3),
};

/**
 * With y = longConvolution(u, K): du[b, s, d] = Σ_{t ≥ s} K[d, t − s] · dy[b, t, d] and
 * dK[d, l] = Σ_{b, t ≥ l} u[b, t − l, d] · dy[b, t, d]. All f32: u, dy [B, T, D], K [D, T].
 */
export function longConvolutionGradient(
  u: Tensor,
  kernel: Tensor,
  dy: Tensor,
): { readonly du: Tensor; readonly dK: Tensor } {
  const [du, dK] = apply(longConvolutionGradientOp, [u, kernel, dy], {});
  return { du: required(du, "long_convolution_gradient du"), dK: required(dK, "long_convolution_gradient dK") };
}
