// rope in ONNX: angles, their cosines and sines once for all heads and layers that share frequencies, and the rotation as
// products of the two halves. No table limits how long a sequence may get.
import { type OnnxEmitter, type OnnxLowering, present, type Value } from "../../formats/onnx/lowering.ts";
import { fixedDimAt, type Shape } from "../../graph/shape.ts";
import type { Tensor } from "../../graph/types.ts";
import type { RopeAttributes } from "./op.ts";

const FLOAT = 1;

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

export const toOnnx: OnnxLowering<RopeAttributes> = ({ tensors, inputs, attributes }, emit) => {
  const x = present(tensors[0], "x");
  const frequencies = present(inputs[1], "inv_freq");
  const half = fixedDimAt(present(tensors[1], "inv_freq").shape, 0);
  const width = fixedDimAt(x.shape, 3);
  const { attentionScaling, inverse } = attributes;
  const positions = positionsOf(x, inputs[2], tensors[2]?.shape, emit);
  const wave = (fn: "Cos" | "Sin"): Value =>
    emit.once(`${fn} ${frequencies} ${positions} ${attentionScaling} ${x.shape[1]}`, () => {
      // Axes of tokens, heads and channels.
      const at = emit.node("Unsqueeze", [
        emit.node("Cast", [positions], { attributes: { to: FLOAT } }),
        emit.integers([2, 3]),
      ]);
      const values = emit.node(fn, [emit.node("Mul", [at, frequencies])]);
      return attentionScaling === 1 ? values : emit.node("Mul", [values, emit.floats([attentionScaling])]);
    });
  const [cos, sin] = [wave("Cos"), wave("Sin")];
  const sizes = 2 * half === width ? [half, half] : [half, half, width - 2 * half];
  const [first, second, rest] = emit.nodes("Split", [inputs[0], emit.integers(sizes)], sizes.length, {
    attributes: { axis: 3 },
  });
  const product = (a: Value | undefined, b: Value): Value => emit.node("Mul", [a, b]);
  const [minus, plus] = inverse ? ["Add", "Sub"] : ["Sub", "Add"];
  const rotated = [
    emit.node(minus ?? "", [product(first, cos), product(second, sin)]),
    emit.node(plus ?? "", [product(second, cos), product(first, sin)]),
  ];
  return [emit.node("Concat", rest === undefined ? rotated : [...rotated, rest], { attributes: { axis: 3 } })];
};
