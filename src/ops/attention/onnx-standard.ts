// attention in ONNX by the standard Attention, which joins the keys of the call to those of the cache. Masks are ours: that of the
// operator counts queries from the first key on in some versions and from the last in others.
import { type OnnxLowering, present, type Value } from "../../formats/onnx/lowering.ts";
import { bias } from "./onnx-mask.ts";
import type { AttentionAttributes } from "./op.ts";
import { attentionSizes } from "./sizes.ts";

export const toStandardOnnx: OnnxLowering<AttentionAttributes> = ({ tensors, inputs, attributes }, emit) => {
  const sizes = attentionSizes("attention", tensors[0], tensors[1], tensors[2]);
  const { batch, queryTokens, queryHeads, keyHeads, valueDim } = sizes;
  const [q, k, v, pastKey, pastValue] = inputs;
  /** Heads side by side. */
  const flat = (x: Value | undefined, i: number): Value => {
    const { shape } = present(tensors[i], "q, k or v");
    const [b = 1, t = 1, heads = 1, channels = 1] = shape;
    return emit.reshape(present(x, "q, k or v"), shape, [b, t, Number(heads) * Number(channels)]);
  };
  const fresh = pastKey === undefined ? emit.node("Transpose", [k], { attributes: { perm: [0, 2, 1, 3] } }) : undefined;
  const added = bias(present(q, "q"), fresh ?? present(pastKey, "past"), attributes, emit);
  // Ours has an axis for the query heads of a key head, where batch is one.
  const mask =
    added !== undefined && emit.sequence !== undefined
      ? emit.once(`mask of 4 axes ${added}`, () => emit.node("Squeeze", [added, emit.integers([1])]))
      : added;
  const [y, keys, values] = emit.nodes(
    "Attention",
    [flat(q, 0), flat(k, 1), flat(v, 2), mask, pastKey, pastValue],
    pastKey === undefined ? 1 : 3,
    { attributes: { q_num_heads: queryHeads, kv_num_heads: keyHeads, scale: { float: attributes.scale } } },
  );
  const heads = emit.reshape(
    present(y, "y"),
    [batch, queryTokens, queryHeads * valueDim],
    [batch, queryTokens, queryHeads, valueDim],
  );
  return [heads, undefined, keys, values];
};
