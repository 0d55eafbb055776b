// slice: a contiguous range of one axis.
import { type Dim, dimAt, GraphError, sizeOf } from "../../graph/shape.ts";
import { applyOne, type OpDefinition, type Tensor } from "../../graph/types.ts";

export interface SliceAttributes {
  /** Non-negative. */
  readonly axis: number;
  /** First index; negative counts from the end. A symbolic axis allows only negative starts. */
  readonly start: number;
  /** Number of indices taken. */
  readonly length: number;
}

/** x of any dtype [.., n, ..] → [.., length, ..], elements start … start + length - 1 of `axis`. */
export const sliceOp: OpDefinition<SliceAttributes> = {
  name: "slice",
  infer: ([x], { axis, start, length }) => {
    if (x === undefined) throw new GraphError("slice: input is missing");
    const dim = dimAt(x.shape, axis);
    const end = start + length;
    const fits =
      typeof dim === "number"
        ? sliceStart(start, dim) >= 0 && sliceStart(start, dim) + length <= dim
        : start < 0 && end <= 0;
    if (!fits) throw new GraphError(`slice: ${start} … ${end - 1} does not fit in axis ${axis} of length ${dim}`);
    return [{ shape: x.shape.map((d, i): Dim => (i === axis ? length : d)), dtype: x.dtype }];
  },
  flops: () => 0,
  bytes: (_, [y]) => 8 * sizeOf(y?.shape ?? []),
};

/** First index as a non-negative number, for an axis of length `dim`. */
export const sliceStart = (start: number, dim: number): number => (start < 0 ? start + dim : start);

export function slice(x: Tensor, axis: number, start: number, length: number): Tensor {
  const positive = axis < 0 ? axis + x.shape.length : axis;
  if (x.shape[positive] === length && start === 0) return x;
  return applyOne(sliceOp, [x], { axis: positive, start, length });
}
