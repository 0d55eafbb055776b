// Launch of slice (kernels/layout): a strided copy.
import { sizeOf } from "../../graph/shape.ts";
import type { WasmLowering } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import { type SliceAttributes, sliceStart } from "./op.ts";

export const lower: WasmLowering<SliceAttributes> = (
  { inputs, outputs, attributes: { axis, start, length } },
  emit,
) => {
  const x = required(inputs[0], "slice input");
  const dim = x.shape[axis] ?? 1;
  const rows = sizeOf(x.shape.slice(0, axis));
  const inner = sizeOf(x.shape.slice(axis + 1));
  const words = length * inner;
  emit.command("copy_rows", [x, sliceStart(start, dim) * inner, outputs[0], 0, rows, words, dim * inner, words]);
};
