// gather in ONNX: Gather along the rows; of a weight, as formats/onnx/weights.ts stores it.
import { type OnnxLowering, present } from "../../formats/onnx/lowering.ts";
import type { GatherAttributes } from "./op.ts";

export const toOnnx: OnnxLowering<GatherAttributes> = ({ tensors, inputs }, emit) => {
  const rows = emit.weights.rows(present(tensors[0], "table"), present(inputs[1], "ids"));
  return [rows ?? emit.node("Gather", inputs, { attributes: { axis: 0 } })];
};
