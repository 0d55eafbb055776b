// rope in ONNX: the rotation as products of the two halves with cosines and sines.
import { type OnnxForms, type OnnxLowering, present, type Value } from "../../formats/onnx/lowering.ts";
import { fixedDimAt } from "../../graph/shape.ts";
import { toStandardOnnx } from "./onnx-standard.ts";
import { wavesOf } from "./onnx-waves.ts";
import type { RopeAttributes } from "./op.ts";

const fromPrimitives: OnnxLowering<RopeAttributes> = (context, emit) => {
  const { tensors, inputs, attributes } = context;
  const x = present(tensors[0], "x");
  const half = fixedDimAt(present(tensors[1], "inv_freq").shape, 0);
  const width = fixedDimAt(x.shape, 3);
  const { inverse } = attributes;
  const { cos, sin } = wavesOf(context, emit);
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

export const toOnnx: OnnxForms<RopeAttributes> = {
  ort: fromPrimitives,
  onnx: toStandardOnnx,
  portable: fromPrimitives,
};
