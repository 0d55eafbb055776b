// Dispatch of slice: rows of its axis, cut (kernels/layout/rows.wgsl).
import { sizeOf } from "../../graph/shape.ts";
import type { GpuLowering } from "../../runtime/webgpu/lowering.ts";
import { required } from "../types.ts";
import { type SliceAttributes, sliceStart } from "./op.ts";
import { copyRows } from "./rows.ts";

export const lower: GpuLowering<SliceAttributes> = ({ inputs, outputs, attributes: { axis, start, length } }, emit) => {
  const x = required(inputs[0], "slice input");
  const y = required(outputs[0], "slice output");
  const dim = x.shape[axis] ?? 1;
  const inner = sizeOf(x.shape.slice(axis + 1));
  const offset = sliceStart(start, dim) * inner;
  const piece = { x, stride: dim * inner, offset, begin: 0, end: length * inner };
  copyRows(y, sizeOf(x.shape.slice(0, axis)), length * inner, [piece], emit);
};
