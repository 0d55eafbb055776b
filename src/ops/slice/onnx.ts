// slice in ONNX. A slice that reaches the end of its axis from a negative start ends at the largest index there is.
import type { OnnxLowering } from "../../formats/onnx/lowering.ts";
import type { SliceAttributes } from "./op.ts";

const TO_THE_END = Number.MAX_SAFE_INTEGER;

export const toOnnx: OnnxLowering<SliceAttributes> = ({ inputs, attributes: { axis, start, length } }, emit) => {
  const end = start < 0 && start + length === 0 ? TO_THE_END : start + length;
  return [emit.node("Slice", [inputs[0], emit.integers([start]), emit.integers([end]), emit.integers([axis])])];
};
