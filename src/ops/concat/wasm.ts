// Launch of concat (kernels/layout): one strided copy per input.
import { sizeOf } from "../../graph/shape.ts";
import type { WasmLowering } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import type { ConcatAttributes } from "./op.ts";

export const lower: WasmLowering<ConcatAttributes> = ({ inputs, outputs, attributes: { axis } }, emit) => {
  const y = required(outputs[0], "concat output");
  const rows = sizeOf(y.shape.slice(0, axis));
  const stride = sizeOf(y.shape.slice(axis));
  let offset = 0;
  for (const input of inputs) {
    const words = sizeOf(required(input, "concat input").shape.slice(axis));
    emit.command("copy_rows", [input, 0, y, offset, rows, words, words, stride]);
    offset += words;
  }
};
