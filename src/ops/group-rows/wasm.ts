// Launch of group_rows (kernels/group_rows).
import { sizeOf } from "../../graph/shape.ts";
import type { WasmLowering } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import type { GroupRowsAttributes } from "./op.ts";

export const lower: WasmLowering<GroupRowsAttributes> = ({ inputs, outputs, attributes: { experts } }, emit) => {
  const indices = required(inputs[0], "indices");
  const rows = sizeOf(indices.shape);
  const order = outputs[0] ?? emit.scratch(4 * rows);
  const starts = outputs[1] ?? emit.scratch(4 * (experts + 1));
  emit.command("group_rows", [indices, order, starts, outputs[2], rows, experts]);
};
