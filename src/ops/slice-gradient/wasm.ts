// Launch of slice_gradient (kernels/layout): a strided copy between zeros.
import { sizeOf } from "../../graph/shape.ts";
import type { WasmLowering } from "../../runtime/wasm/lowering.ts";
import { sliceStart } from "../slice/op.ts";
import { required } from "../types.ts";
import type { SliceGradientAttributes } from "./op.ts";

export const lower: WasmLowering<SliceGradientAttributes> = (
  { inputs, outputs, attributes: { axis, start } },
  emit,
) => {
  const dy = required(inputs[0], "slice_gradient input");
  const dx = required(outputs[0], "slice_gradient output");
  const dim = dx.shape[axis] ?? 1;
  const rows = sizeOf(dy.shape.slice(0, axis));
  const inner = sizeOf(dy.shape.slice(axis + 1));
  emit.command("embed_rows", [
    dy,
    dx,
    rows,
    (dy.shape[axis] ?? 1) * inner,
    dim * inner,
    sliceStart(start, dim) * inner,
  ]);
};
