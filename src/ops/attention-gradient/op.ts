// attention_gradient: what attention passes back to queries, keys, values and sinks.
import { formatShape, GraphError, sameShape, type TensorType } from "../../graph/shape.ts";
import { apply, type OpDefinition, type Tensor } from "../../graph/types.ts";
import { type AttentionAttributes, attentionSizes, checkAttention, visiblePairs } from "../attention/sizes.ts";

/** Inputs q, k, v, sink?, y, lse, dy?, dlse?; outputs dq, dk, dv, and with a sink dsink. See {@link attentionGradient}. */
export const attentionGradientOp: OpDefinition<AttentionAttributes> = {
  name: "attention_gradient",
  infer: (inputs, attributes) => {
    const [q, k, v, sink, y, lse, dy, dlse] = inputs;
    const sizes = checkAttention("attention_gradient", inputs, sink, attributes);
    const rows = [sizes.batch, sizes.queryTokens, sizes.queryHeads];
    const expect = (name: string, type: TensorType | undefined, shape: TensorType["shape"]): void => {
      if (type !== undefined && (type.dtype !== "f32" || !sameShape(type.shape, shape))) {
        throw new GraphError(
          `attention_gradient: ${name} is ${type.dtype} ${formatShape(type.shape)}, must be f32 ${formatShape(shape)}`,
        );
      }
    };
    if (y === undefined || lse === undefined)
      throw new GraphError("attention_gradient: y and lse of the forward pass are missing");
    if (dy === undefined && dlse === undefined)
      throw new GraphError("attention_gradient: dy and dlse are both missing");
    expect("y", y, [...rows, sizes.valueDim]);
    expect("dy", dy, [...rows, sizes.valueDim]);
    expect("lse", lse, rows);
    expect("dlse", dlse, rows);
    return [q, k, v, sink].flatMap((type) => (type ? [{ shape: type.shape, dtype: "f32" as const }] : []));
  },
  // Five products (scores again, dy·v, and into dq, dk, dv) and about eight operations on each pair.
  flops: ([q, k, v], _, attributes) => {
    const { batch, queryTokens, keyTokens, queryHeads, keyDim, valueDim } = attentionSizes(
      "attention_gradient",
      q,
      k,
      v,
    );
    const pairs = batch * queryHeads * visiblePairs(queryTokens, keyTokens, 0, attributes);
    return pairs * (6 * keyDim + 4 * valueDim + 8);
  },
};

export interface AttentionGradientInputs {
  /** Inputs of the forward pass: [B, Tq, Hq, d], [B, Tk, Hk, d], [B, Tk, Hk, dv], [Hq]. */
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  readonly sink?: Tensor | undefined;
  /** Results of the forward pass: [B, Tq, Hq, dv] and [B, Tq, Hq]. */
  readonly output: Tensor;
  readonly logSumExp: Tensor;
  /** Gradients of the loss with respect to those; at least one. */
  readonly outputGradient?: Tensor | undefined;
  readonly logSumExpGradient?: Tensor | undefined;
}

/**
 * With P_ij = exp(s_ij - lse_i), D_i = dy_i·y_i - dlse_i and dS_ij = P_ij (dy_i·v_j - D_i) (times the slope of a soft cap):
 *
 *     dq_i = scale Σ_j dS_ij k_j,  dk_j = scale Σ_i dS_ij q_i,  dv_j = Σ_i P_ij dy_i,  dsink = -Σ_i exp(sink - lse_i) D_i
 *
 * Keys and values sum over the query heads that share them. All f32. FlashAttention-2 (Dao 2023), Algorithm 2: nothing of
 * size Tq × Tk is kept. Sums have a fixed order for a given number of threads. Throws GraphError when shapes do not fit.
 */
export function attentionGradient(
  inputs: AttentionGradientInputs,
  attributes: AttentionAttributes,
): { readonly q: Tensor; readonly k: Tensor; readonly v: Tensor; readonly sink: Tensor | undefined } {
  const { q, k, v, sink, output, logSumExp, outputGradient, logSumExpGradient } = inputs;
  const results = apply(
    attentionGradientOp,
    [q, k, v, sink, output, logSumExp, outputGradient, logSumExpGradient],
    attributes,
  );
  const [dq, dk, dv, dsink] = results;
  if (dq === undefined || dk === undefined || dv === undefined)
    throw new GraphError("attention_gradient has no outputs");
  return { q: dq, k: dk, v: dv, sink: dsink };
}
