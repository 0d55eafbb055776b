// reshape in ONNX.
import { type OnnxLowering, present } from "../../formats/onnx/lowering.ts";
import type { ReshapeAttributes } from "./op.ts";

export const toOnnx: OnnxLowering<ReshapeAttributes> = ({ tensors, inputs, attributes }, emit) => [
  emit.reshape(present(inputs[0], "x"), present(tensors[0], "x").shape, attributes.shape),
];
