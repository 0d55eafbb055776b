// expert_matmul_gradient: the gradient of the experts' weights.
import { fixedDimAt, GraphError, sizeOf } from "../../graph/shape.ts";
import { applyOne, type OpDefinition, type Tensor } from "../../graph/types.ts";
import { checkOrder, checkRows, type Routing } from "../expert-matmul/op.ts";
import { required } from "../types.ts";

/** expert_matmul_gradient has no attributes. */
export type ExpertMatmulGradientAttributes = Readonly<Record<string, never>>;

/** Inputs x, dy, indices, order, starts; output dweight. See {@link expertMatmulGradient}. */
export const expertMatmulGradientOp: OpDefinition<ExpertMatmulGradientAttributes> = {
  name: "expert_matmul_gradient",
  infer: ([x, dy, indices, order, starts]) => {
    const experts = checkOrder("expert_matmul_gradient", indices, order, starts);
    const rows = required(indices, "indices").shape;
    checkRows("expert_matmul_gradient", "x", x, rows);
    checkRows("expert_matmul_gradient", "dy", dy, rows);
    if (x === undefined || dy === undefined) throw new GraphError("expert_matmul_gradient: x or dy are missing");
    return [{ shape: [experts, fixedDimAt(dy.shape, -1), fixedDimAt(x.shape, -1)], dtype: "f32" }];
  },
  flops: ([x, dy, indices]) => 2 * sizeOf(indices?.shape ?? []) * (x?.shape.at(-1) ?? 1) * (dy?.shape.at(-1) ?? 1),
};

/**
 * dweight[e, n, k] = Σ dy[r, n] · x[r, k] over the rows r with indices[r] = e; zero for an expert without rows. x f32
 * [.., K] or [.., k, K], dy f32 [.., N] or [.., k, N] → f32 [experts, N, K]. The rows of one expert are added in order.
 */
export function expertMatmulGradient(x: Tensor, dy: Tensor, { indices, order, starts }: Routing): Tensor {
  return applyOne(expertMatmulGradientOp, [x, dy, indices, order, starts], {});
}
