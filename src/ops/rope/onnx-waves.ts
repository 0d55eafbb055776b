// The angles of rotary positions in ONNX: their cosines and sines once for all heads and layers that share frequencies. No table
// limits how long a sequence may get.
import { cast } from "../../formats/onnx/forms/cast.ts";
import { type LoweringContext, type OnnxEmitter, present, type Value } from "../../formats/onnx/lowering.ts";
import type { Shape } from "../../graph/shape.ts";
import type { Tensor } from "../../graph/types.ts";
import type { RopeAttributes } from "./op.ts";

/** int64 [B, T], [B or 1, T] where positions are counted from the first token on. */
function positionsOf(x: Tensor, positions: Value | undefined, shape: Shape | undefined, emit: OnnxEmitter): Value {
  // The positions of a model's tokens are an input of it: padding on the left has none.
  if (emit.sequence !== undefined) return emit.sequence.positions;
  if (positions !== undefined && shape?.length === 2) return positions;
  const axis = emit.integers([0]);
  const count = emit.node("Squeeze", [emit.sizes(x.shape.slice(1, 2)), axis]);
  const counted = emit.node("Unsqueeze", [emit.node("Range", [emit.integer(0), count, emit.integer(1)]), axis]);
  if (positions === undefined) return counted;
  return emit.node("Add", [emit.node("Unsqueeze", [positions, emit.integers([1])]), counted]);
}

/** Cosines and sines, f32 [B or 1, T, 1, frequencies], times the scaling of attention. */
export function wavesOf(
  { tensors, inputs, attributes: { attentionScaling } }: LoweringContext<RopeAttributes>,
  emit: OnnxEmitter,
): { readonly cos: Value; readonly sin: Value } {
  const x = present(tensors[0], "x");
  const frequencies = present(inputs[1], "inv_freq");
  const positions = positionsOf(x, inputs[2], tensors[2]?.shape, emit);
  const wave = (fn: "Cos" | "Sin"): Value =>
    emit.once(`${fn} ${frequencies} ${positions} ${attentionScaling} ${x.shape[1]}`, () => {
      // Axes of tokens, heads and channels.
      const at = emit.node("Unsqueeze", [cast(positions, "f32", emit), emit.integers([2, 3])]);
      const values = emit.node(fn, [emit.node("Mul", [at, frequencies])]);
      return attentionScaling === 1 ? values : emit.node("Mul", [values, emit.floats([attentionScaling])]);
    });
  return { cos: wave("Cos"), sin: wave("Sin") };
}
