// cross_entropy_gradient: softmax minus one-hot, over the logits' own memory where it is free.
import { GraphError, sameShape, sizeOf } from "../../graph/shape.ts";
import { applyOne, type OpDefinition, type Tensor } from "../../graph/types.ts";
import { type CrossEntropyAttributes, checkLogits } from "../cross-entropy/op.ts";

/** Inputs logits [.., V], targets i32 [..], lse [..], count [], dloss? [], dlse? [..]; output dlogits [.., V]. */
export const crossEntropyGradientOp: OpDefinition<CrossEntropyAttributes> = {
  name: "cross_entropy_gradient",
  infer: ([logits, targets, lse, count, , dlse]) => {
    const type = checkLogits("cross_entropy_gradient", logits, targets);
    if (lse === undefined || count === undefined)
      throw new GraphError("cross_entropy_gradient: lse or count is missing");
    for (const rows of [lse, dlse]) {
      if (rows !== undefined && !sameShape(rows.shape, targets?.shape ?? [])) {
        throw new GraphError("cross_entropy_gradient: lse and dlse must have the shape of the targets");
      }
    }
    return [{ shape: type.shape, dtype: "f32" }];
  },
  flops: ([logits]) => 3 * sizeOf(logits?.shape ?? []),
  inPlace: [[0, 0]],
};

/** dlogits = softmax(logits) · (g + dlse) − g at the target, g = dloss / count; without g in ignored rows. */
export function crossEntropyGradient(
  forward: { readonly logits: Tensor; readonly targets: Tensor; readonly lse: Tensor; readonly count: Tensor },
  upstream: { readonly dloss?: Tensor | undefined; readonly dlse?: Tensor | undefined },
  attributes: CrossEntropyAttributes,
): Tensor {
  const { logits, targets, lse, count } = forward;
  return applyOne(crossEntropyGradientOp, [logits, targets, lse, count, upstream.dloss, upstream.dlse], attributes);
}
