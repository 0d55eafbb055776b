// Dispatch of concat: rows of each input side by side (kernels/layout/rows.wgsl), as many inputs at once as can be bound.
import { sizeOf } from "../../graph/shape.ts";
import type { GpuLowering } from "../../runtime/webgpu/lowering.ts";
import { copyRows } from "../slice/rows.ts";
import { required } from "../types.ts";
import type { ConcatAttributes } from "./op.ts";

export const lower: GpuLowering<ConcatAttributes> = ({ inputs, outputs, attributes: { axis } }, emit) => {
  const y = required(outputs[0], "concat output");
  let begin = 0;
  const pieces = inputs.map((input) => {
    const x = required(input, "concat input");
    const stride = sizeOf(x.shape.slice(axis));
    const piece = { x, stride, offset: 0, begin, end: begin + stride };
    begin += stride;
    return piece;
  });
  copyRows(y, sizeOf(y.shape.slice(0, axis)), begin, pieces, emit);
};
