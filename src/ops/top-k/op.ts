// top_k: the router of a mixture of experts: scores of all experts to the few that are chosen and what they weigh.
import { type Dim, fixedDimAt, formatShape, GraphError, sizeOf, type TensorType } from "../../graph/shape.ts";
import { apply, type OpDefinition, type Tensor } from "../../graph/types.ts";
import { required } from "../types.ts";

export interface TopKAttributes {
  /** Experts chosen for each row. */
  readonly k: number;
  /** What logits become before anything is chosen: a distribution over experts, or a number of its own for each. */
  readonly score: "softmax" | "sigmoid";
  /** Divide the chosen scores by their sum + normalizeEps. */
  readonly normalize: boolean;
  readonly normalizeEps: number;
  /** Multiplies the weights last. */
  readonly scale: number;
  /** Experts come in so many groups of neighbours … */
  readonly groups: number;
  /** … and only those of the best topGroups may be chosen. A group is as good as its two best experts together. */
  readonly topGroups: number;
}

/** Complains unless logits [.., E] can be routed as `attributes` say; returns E. For the op and its gradient. */
export function checkRouting(op: string, logits: TensorType | undefined, attributes: TopKAttributes): number {
  if (logits === undefined) throw new GraphError(`${op}: logits are missing`);
  if (logits.dtype !== "f32" || logits.shape.length === 0) {
    throw new GraphError(`${op}: logits are ${logits.dtype} ${formatShape(logits.shape)}, must be f32 [.., experts]`);
  }
  const experts = fixedDimAt(logits.shape, -1);
  const { k, groups, topGroups } = attributes;
  if (groups < 1 || experts % groups !== 0)
    throw new GraphError(`${op}: ${groups} groups do not divide ${experts} experts`);
  if (topGroups < 1 || topGroups > groups)
    throw new GraphError(`${op}: ${topGroups} of ${groups} groups can't be chosen`);
  const open = (experts / groups) * topGroups;
  if (k < 1 || k > open) throw new GraphError(`${op}: ${k} experts can't be chosen from ${open}`);
  return experts;
}

/** Inputs logits, bias?; outputs weights, indices. See {@link topK}. */
export const topKOp: OpDefinition<TopKAttributes> = {
  name: "top_k",
  infer: ([logits, bias], attributes) => {
    const experts = checkRouting("top_k", logits, attributes);
    if (bias !== undefined && (bias.dtype !== "f32" || bias.shape.length !== 1 || bias.shape[0] !== experts)) {
      throw new GraphError(`top_k: bias is ${bias.dtype} ${formatShape(bias.shape)}, must be f32 [${experts}]`);
    }
    const shape: readonly Dim[] = [...required(logits, "logits").shape.slice(0, -1), attributes.k];
    return [
      { shape, dtype: "f32" },
      { shape, dtype: "i32" },
    ];
  },
  flops: ([logits]) => 5 * sizeOf(logits?.shape ?? []),
};

/**
 * logits f32 [.., E], bias f32 [E] or none → weights f32 [.., k] and indices i32 [.., k], best first.
 *
 *     s = softmax(logits) or sigmoid(logits)
 *     indices = the k largest of s + bias among the open groups; of equals the lower index
 *     weights = scale · s[indices] / (Σ s[indices] + normalizeEps), or scale · s[indices]
 *
 * The bias takes part in the choice only and has no gradient; neither has the choice itself. Renormalising the softmax of
 * all is the softmax of the chosen logits. Sources: Shazeer et al. 2017; Jiang et al. 2024 (Mixtral: normalised softmax);
 * DeepSeek-AI 2024 (DeepSeek-V3, §2.1.2: sigmoid, bias and groups).
 */
export function topK(
  logits: Tensor,
  attributes: TopKAttributes,
  bias?: Tensor,
): { readonly weights: Tensor; readonly indices: Tensor } {
  const [weights, indices] = apply(topKOp, [logits, bias], attributes);
  return { weights: required(weights, "weights"), indices: required(indices, "indices") };
}
