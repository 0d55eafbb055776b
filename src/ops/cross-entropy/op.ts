// cross_entropy: mean negative log-likelihood of target classes, straight from logits.
import { fixedDimAt, formatShape, GraphError, sameShape, sizeOf, type TensorType } from "../../graph/shape.ts";
import { apply, type OpDefinition, type Tensor } from "../../graph/types.ts";
import { required } from "../types.ts";

export interface CrossEntropyAttributes {
  /** Target that takes a row out of the mean. */
  readonly ignore: number;
}

/** Checks logits f32 [.., V] against targets i32 [..]; for the op and its gradient. */
export function checkLogits(op: string, logits: TensorType | undefined, targets: TensorType | undefined): TensorType {
  if (logits === undefined || targets === undefined) throw new GraphError(`${op}: logits or targets are missing`);
  if (logits.dtype !== "f32") throw new GraphError(`${op}: logits are ${logits.dtype}, must be f32`);
  if (targets.dtype !== "i32") throw new GraphError(`${op}: targets are ${targets.dtype}, must be i32`);
  fixedDimAt(logits.shape, -1);
  if (!sameShape(logits.shape.slice(0, -1), targets.shape)) {
    throw new GraphError(`${op}: logits ${formatShape(logits.shape)} do not fit targets ${formatShape(targets.shape)}`);
  }
  return logits;
}

/** Inputs logits, targets; outputs loss, lse, count. See {@link crossEntropy}. */
export const crossEntropyOp: OpDefinition<CrossEntropyAttributes> = {
  name: "cross_entropy",
  infer: ([logits, targets]) => {
    checkLogits("cross_entropy", logits, targets);
    return [
      { shape: [], dtype: "f32" },
      { shape: required(targets, "targets").shape, dtype: "f32" },
      { shape: [], dtype: "f32" },
    ];
  },
  flops: ([logits]) => 4 * sizeOf(logits?.shape ?? []),
};

/**
 * logits f32 [.., V], targets i32 [..] → loss f32 [], the mean of lse − logits[target] over the rows whose target is not
 * `ignore` (0 if there are none); lse f32 [..], log Σ exp(logits); count f32 [], the rows in the mean.
 * A target that is neither `ignore` nor in 0 … V − 1 makes the loss (and its row of the gradient) NaN: check data before.
 * No probability is stored: softmax is taken online (Milakov & Gimelshein 2018).
 */
export function crossEntropy(
  logits: Tensor,
  targets: Tensor,
  options: { readonly ignore?: number } = {},
): { readonly loss: Tensor; readonly lse: Tensor; readonly count: Tensor } {
  const [loss, lse, count] = apply(crossEntropyOp, [logits, targets], { ignore: options.ignore ?? -100 });
  return { loss: required(loss, "loss"), lse: required(lse, "lse"), count: required(count, "count") };
}
