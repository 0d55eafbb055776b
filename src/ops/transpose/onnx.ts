// transpose in ONNX.
import type { OnnxLowering } from "../../formats/onnx/lowering.ts";
import type { TransposeAttributes } from "./op.ts";

export const toOnnx: OnnxLowering<TransposeAttributes> = ({ inputs, attributes }, emit) => [
  emit.node("Transpose", inputs, { attributes: { perm: attributes.permutation } }),
];
