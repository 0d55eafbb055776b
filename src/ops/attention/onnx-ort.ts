// attention for onnxruntime: its GroupQueryAttention, which joins the keys of the call to those of the cache and never holds all
// scores. It counts padding from the end of a row, ours stands on the left: a bias masks it, and windows with it.
import { cast } from "../../formats/onnx/forms/cast.ts";
import {
  type LoweringContext,
  type OnnxEmitter,
  type OnnxLowering,
  present,
  type Value,
} from "../../formats/onnx/lowering.ts";
import { bias } from "./onnx-mask.ts";
import type { AttentionAttributes } from "./op.ts";
import { attentionSizes } from "./sizes.ts";

/** The operator wants a cache, causal masks, keys as wide as values, and widths that are multiples of 8. */
export function hasGroupQueryForm(
  { tensors, attributes }: LoweringContext<AttentionAttributes>,
  { sequence }: OnnxEmitter,
): boolean {
  const { keyDim, valueDim } = attentionSizes("attention", tensors[0], tensors[1], tensors[2]);
  const isCached = tensors[3] !== undefined && sequence !== undefined;
  return isCached && attributes.causal && keyDim === valueDim && Number(keyDim) % 8 === 0;
}

export const toGroupQuery: OnnxLowering<AttentionAttributes> = ({ tensors, inputs, attributes }, emit) => {
  const { batch, queryTokens, queryHeads, keyHeads, valueDim } = attentionSizes(
    "attention",
    tensors[0],
    tensors[1],
    tensors[2],
  );
  const [q, k, v, pastKey, pastValue, , sink] = inputs;
  const { keyMask } = present(emit.sequence, "sequence");
  /** Heads side by side. */
  const flat = (x: Value | undefined, i: number): Value => {
    const { shape } = present(tensors[i], "q, k or v");
    const [b = 1, t = 1, heads = 1, channels = 1] = shape;
    return emit.reshape(present(x, "q, k or v"), shape, [b, t, Number(heads) * Number(channels)]);
  };
  const int32 = (x: Value): Value => cast(x, "i32", emit);
  const total = emit.once("keys of all calls", () =>
    int32(emit.node("Gather", [emit.node("Shape", [keyMask]), emit.integer(1)], { attributes: { axis: 0 } })),
  );
  const last = emit.once("last key of each row", () => {
    const place = emit.node("Sub", [
      emit.node("Gather", [emit.node("Shape", [keyMask]), emit.integers([1])], { attributes: { axis: 0 } }),
      emit.integers([1]),
    ]);
    return int32(emit.node("Expand", [place, emit.sizes([batch])]));
  });
  const added = present(bias(present(q, "q"), present(pastKey, "past"), attributes, emit), "bias");
  // Ours has an axis for the query heads of a key head, where batch is one.
  const mask = emit.once(`mask of 4 axes ${added}`, () => emit.node("Squeeze", [added, emit.integers([1])]));
  const none = undefined;
  const [y, keys, values] = emit.nodes(
    "GroupQueryAttention",
    [flat(q, 0), flat(k, 1), flat(v, 2), pastKey, pastValue, last, total, none, none, none, mask, sink],
    3,
    {
      contrib: true,
      attributes: {
        num_heads: Number(queryHeads),
        kv_num_heads: Number(keyHeads),
        scale: { float: attributes.scale },
        ...(attributes.softcap > 0 ? { softcap: { float: attributes.softcap } } : {}),
      },
    },
  );
  const heads = emit.reshape(
    present(y, "y"),
    [batch, queryTokens, Number(queryHeads) * Number(valueDim)],
    [batch, queryTokens, queryHeads, valueDim],
  );
  return [heads, undefined, keys, values];
};
