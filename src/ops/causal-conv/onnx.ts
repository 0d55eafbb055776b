// causal_conv in ONNX, in each dialect.
import type { OnnxForms } from "../../formats/onnx/lowering.ts";
import { byConv } from "./onnx-conv.ts";
import { toOrt } from "./onnx-ort.ts";
import { toStandardOnnx } from "./onnx-standard.ts";
import type { CausalConvAttributes } from "./op.ts";

export const toOnnx: OnnxForms<CausalConvAttributes> = {
  ort: toOrt,
  // The standard operator has no window to keep for a single tap.
  onnx: (context, emit) => (context.tensors[1]?.shape[1] === 1 ? byConv : toStandardOnnx)(context, emit),
  portable: byConv,
};
