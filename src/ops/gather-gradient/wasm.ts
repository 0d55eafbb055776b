// Launch of gather_gradient (kernels/gather): zeros, then the rows of dy in order.
import { sizeOf } from "../../graph/shape.ts";
import type { WasmLowering } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import type { GatherGradientAttributes } from "./op.ts";

export const lower: WasmLowering<GatherGradientAttributes> = ({ inputs, outputs, attributes: { rows } }, emit) => {
  const indices = required(inputs[0], "indices");
  const dy = required(inputs[1], "dy");
  const width = dy.shape.at(-1) ?? 1;
  emit.command("clear", [outputs[0], rows * width]);
  emit.command("gather_gradient", [indices, dy, outputs[0], sizeOf(indices.shape), rows, width]);
};
