// matmul_gradient: the gradient of a weight that all rows of a matmul share.
import { dimAt, formatShape, GraphError, sameShape, sizeOf } from "../../graph/shape.ts";
import { applyOne, type OpDefinition, type Tensor } from "../../graph/types.ts";

export interface MatmulGradientAttributes {
  /** The weight is [N, K]; [K, N] otherwise. */
  readonly transposeB: boolean;
}

/** Inputs x [.., K], dy [.., N]; output the weight's gradient. See {@link matmulGradient}. */
export const matmulGradientOp: OpDefinition<MatmulGradientAttributes> = {
  name: "matmul_gradient",
  infer: ([x, dy], { transposeB }) => {
    if (x === undefined || dy === undefined) {
      throw new GraphError(`matmul_gradient: ${x === undefined ? "x" : "dy"} is missing`);
    }
    const shapes = `x ${formatShape(x.shape)}, dy ${formatShape(dy.shape)}`;
    if (x.dtype !== "f32" || dy.dtype !== "f32")
      throw new GraphError(`matmul_gradient: operands must be f32 (${shapes})`);
    if (!sameShape(x.shape.slice(0, -1), dy.shape.slice(0, -1))) {
      throw new GraphError(`matmul_gradient: x and dy must have the same leading axes (${shapes})`);
    }
    const k = dimAt(x.shape, -1);
    const n = dimAt(dy.shape, -1);
    return [{ shape: transposeB ? [n, k] : [k, n], dtype: "f32" }];
  },
  flops: ([x, dy]) => 2 * sizeOf(x?.shape ?? []) * (dy?.shape.at(-1) ?? 1),
};

/**
 * The gradient of weight in y = x · weight (or x · weightᵀ with transposeB): dweight[k, n] = Σ_r x[r, k] · dy[r, n] over
 * every leading index r. x f32 [.., K], dy f32 [.., N] → [K, N], or [N, K] with transposeB. Throws GraphError where
 * shapes do not fit.
 */
export function matmulGradient(x: Tensor, dy: Tensor, attributes: MatmulGradientAttributes): Tensor {
  return applyOne(matmulGradientOp, [x, dy], attributes);
}
