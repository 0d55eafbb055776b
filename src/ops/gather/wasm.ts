// Launch of gather (kernels/gather), from a plain table or one packed in panels for the GEMM.
import { sizeOf } from "../../graph/shape.ts";
import type { WasmLowering } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import type { GatherAttributes } from "./op.ts";

export const lower: WasmLowering<GatherAttributes> = ({ inputs, outputs }, emit) => {
  const table = required(inputs[0], "table");
  const indices = required(inputs[1], "indices");
  const [rows = 0, width = 0] = table.shape;
  const packed = table.layout === "panels" ? 1 : 0;
  emit.command("gather", [table, indices, outputs[0], sizeOf(indices.shape), rows, width, packed]);
};
