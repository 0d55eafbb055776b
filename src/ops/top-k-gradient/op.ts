// top_k_gradient: from the weights of the chosen experts back to the logits of all.
import { formatShape, GraphError, sameShape, sizeOf } from "../../graph/shape.ts";
import { applyOne, type OpDefinition, type Tensor } from "../../graph/types.ts";
import { checkRouting, type TopKAttributes } from "../top-k/op.ts";
import { required } from "../types.ts";

/** Inputs logits f32 [.., E], indices i32 [.., k], dweights f32 [.., k]; output dlogits f32 [.., E]. See {@link topKGradient}. */
export const topKGradientOp: OpDefinition<TopKAttributes> = {
  name: "top_k_gradient",
  infer: ([given, indices, dweights], attributes) => {
    checkRouting("top_k_gradient", given, attributes);
    const logits = required(given, "logits");
    if (indices === undefined || dweights === undefined) {
      throw new GraphError("top_k_gradient: indices or dweights are missing");
    }
    const wanted = [...logits.shape.slice(0, -1), attributes.k];
    for (const { shape } of [indices, dweights]) {
      if (!sameShape(shape, wanted)) {
        throw new GraphError(`top_k_gradient: ${formatShape(shape)} does not fit logits ${formatShape(logits.shape)}`);
      }
    }
    return [logits];
  },
  flops: ([logits]) => 6 * sizeOf(logits?.shape ?? []),
};

/**
 * With s the scores, the chosen sum S = Σ s + normalizeEps and r = s / S, or S = 1 and r = s where nothing is normalised:
 *
 *     c_j = scale · r_j · (dw_j − Σ_m dw_m r_m)      normalised,  for each chosen j
 *     c_j = scale · r_j · dw_j                       otherwise
 *     dlogits_i = [i chosen] c_i − s_i Σ_j c_j       softmax
 *     dlogits_i = [i chosen] c_i (1 − s_i)           sigmoid
 *
 * An expert that is chosen twice (indices that top_k never makes) gets the last of its gradients.
 */
export function topKGradient(logits: Tensor, indices: Tensor, dweights: Tensor, attributes: TopKAttributes): Tensor {
  return applyOne(topKGradientOp, [logits, indices, dweights], attributes);
}
