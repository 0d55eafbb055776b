// expert_matmul: a linear layer whose weight each row chooses: the projections of a mixture of experts.
import {
  type Dim,
  fixedDimAt,
  formatShape,
  GraphError,
  type Shape,
  sameShape,
  sizeOf,
  type TensorType,
} from "../../graph/shape.ts";
import { applyOne, type OpDefinition, type Tensor } from "../../graph/types.ts";
import { required } from "../types.ts";

export interface ExpertMatmulAttributes {
  /** Multiply by the experts' matrices as they are, [N, K], instead of by their transposes: the way back of a gradient. */
  readonly transposed: boolean;
}

/** Which rows meet which expert: what top_k chose, and that sorted by expert (group_rows). */
export interface Routing {
  /** i32 [.., k] */
  readonly indices: Tensor;
  /** i32 [.., k] */
  readonly order: Tensor;
  /** i32 [experts + 1] */
  readonly starts: Tensor;
}

/**
 * Complains unless x is [.., width] or [.., k, width] for indices [.., k]: the rows of x are those of the tokens, which
 * each choice reads, or those of the choices. For the op and its gradient.
 */
export function checkRows(op: string, name: string, x: TensorType | undefined, indices: Shape): void {
  const leading = x?.shape.slice(0, -1) ?? [];
  if (x !== undefined && x.dtype === "f32" && (sameShape(leading, indices) || sameShape(leading, indices.slice(0, -1))))
    return;
  throw new GraphError(
    `${op}: ${name} ${x === undefined ? "is missing" : `is ${x.dtype} ${formatShape(x.shape)}`}, must be f32 with the leading axes of indices ${formatShape(indices)}, the last of them or not`,
  );
}

/** Complains unless indices, order and starts are i32 and fit each other; returns the number of experts. */
export function checkOrder(
  op: string,
  indices: TensorType | undefined,
  order: TensorType | undefined,
  starts: TensorType | undefined,
): number {
  if (indices === undefined || order === undefined || starts === undefined) {
    throw new GraphError(`${op}: indices, order or starts are missing`);
  }
  for (const [name, type] of Object.entries({ indices, order, starts })) {
    if (type.dtype !== "i32") throw new GraphError(`${op}: ${name} are ${type.dtype}, must be i32`);
  }
  if (!sameShape(indices.shape, order.shape) || indices.shape.length === 0) {
    throw new GraphError(
      `${op}: indices ${formatShape(indices.shape)} and order ${formatShape(order.shape)} must have the same shape [.., k]`,
    );
  }
  return fixedDimAt(starts.shape, 0) - 1;
}

/** How many rows of indices read each row of x: k or 1. */
export function rowsPerInput(
  x: { readonly shape: readonly number[] },
  indices: { readonly shape: readonly number[] },
): number {
  return x.shape.length === indices.shape.length + 1 ? 1 : (indices.shape.at(-1) ?? 1);
}

/** Inputs x, weight, indices, order, starts; output y. See {@link expertMatmul}. */
export const expertMatmulOp: OpDefinition<ExpertMatmulAttributes> = {
  name: "expert_matmul",
  infer: ([x, weight, indices, order, starts], { transposed }) => {
    const experts = checkOrder("expert_matmul", indices, order, starts);
    const rows = required(indices, "indices").shape;
    checkRows("expert_matmul", "x", x, rows);
    const shape: Shape = weight?.shape ?? [];
    const [depth, features] = transposed ? [shape[1], shape[2]] : [shape[2], shape[1]];
    if (weight?.dtype !== "f32" || shape.length !== 3 || shape[0] !== experts || depth !== x?.shape.at(-1)) {
      throw new GraphError(
        `expert_matmul: weight ${formatShape(shape)} does not fit x ${formatShape(x?.shape ?? [])} and ${experts} experts; it must be f32 [experts, N, K] with ${transposed ? "N" : "K"} the width of x`,
      );
    }
    return [{ shape: [...rows, features as Dim], dtype: "f32" }];
  },
  flops: ([, weight], [y], { transposed }) => 2 * sizeOf(y?.shape ?? []) * (weight?.shape.at(transposed ? 1 : 2) ?? 1),
  // Of the weight only what is chosen: at most one expert for every row.
  bytes: ([x, weight, indices], [y]) => {
    const rows = sizeOf(indices?.shape ?? []);
    const [experts = 1, features = 1, depth = 1] = weight?.shape ?? [];
    return (
      4 * (sizeOf(x?.shape ?? []) + Math.min(rows, experts) * features * depth + 2 * rows + sizeOf(y?.shape ?? []))
    );
  },
};

/**
 * y[r] = weight[indices[r]] · x[r] (or weight[indices[r]]ᵀ · x[r] where `transposed`), r through all axes of indices [.., k].
 *
 * x f32 [.., K], a row for each token, or [.., k, K], one for each choice; weight f32 [experts, N, K] → y f32 [.., k, N].
 * `order` and `starts` are what group_rows makes of the indices: they say the same, sorted by expert, and a kernel may go
 * by either. An index that is no expert counts as the nearest one.
 */
export function expertMatmul(
  x: Tensor,
  weight: Tensor,
  { indices, order, starts }: Routing,
  transposed = false,
): Tensor {
  return applyOne(expertMatmulOp, [x, weight, indices, order, starts], { transposed });
}
