// gather in ONNX: Gather along the rows.
import type { OnnxLowering } from "../../formats/onnx/lowering.ts";
import type { GatherAttributes } from "./op.ts";

export const toOnnx: OnnxLowering<GatherAttributes> = ({ inputs }, emit) => [
  emit.node("Gather", inputs, { attributes: { axis: 0 } }),
];
