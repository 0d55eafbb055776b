// causal_conv in ONNX: Conv, or the operators that keep the window themselves, which there is none of for a single tap.
import type { OnnxForms, OnnxLowering } from "../../formats/onnx/lowering.ts";
import { toOrtOnnx } from "./onnx-ort.ts";
import { toPortableOnnx } from "./onnx-portable.ts";
import { toStandardOnnx } from "./onnx-standard.ts";
import type { CausalConvAttributes } from "./op.ts";

type Lowering = OnnxLowering<CausalConvAttributes>;

const withWindow =
  (lower: Lowering): Lowering =>
  (context, emit) =>
    (context.tensors[1]?.shape[1] === 1 ? toPortableOnnx : lower)(context, emit);

export const toOnnx: OnnxForms<CausalConvAttributes> = {
  ort: withWindow(toOrtOnnx),
  onnx: withWindow(toStandardOnnx),
  portable: toPortableOnnx,
};
