// Dispatch of slice_gradient: rows of dy between zeros (kernels/layout/rows.wgsl).
import { sizeOf } from "../../graph/shape.ts";
import type { GpuLowering } from "../../runtime/webgpu/lowering.ts";
import { sliceStart } from "../slice/op.ts";
import { copyRows } from "../slice/rows.ts";
import { required } from "../types.ts";
import type { SliceGradientAttributes } from "./op.ts";

export const lower: GpuLowering<SliceGradientAttributes> = ({ inputs, outputs, attributes: { axis, start } }, emit) => {
  const dy = required(inputs[0], "slice_gradient input");
  const dx = required(outputs[0], "slice_gradient output");
  const dim = dx.shape[axis] ?? 1;
  const inner = sizeOf(dy.shape.slice(axis + 1));
  const stride = (dy.shape[axis] ?? 1) * inner;
  const begin = sliceStart(start, dim) * inner;
  const piece = { x: dy, stride, offset: 0, begin, end: begin + stride };
  copyRows(dx, sizeOf(dy.shape.slice(0, axis)), dim * inner, [piece], emit);
};
