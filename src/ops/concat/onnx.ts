// concat in ONNX.
import type { OnnxLowering } from "../../formats/onnx/lowering.ts";
import type { ConcatAttributes } from "./op.ts";

export const toOnnx: OnnxLowering<ConcatAttributes> = ({ inputs, attributes }, emit) => [
  emit.node("Concat", inputs, { attributes: { axis: attributes.axis } }),
];
