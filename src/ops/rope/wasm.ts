// Launch of rope (kernels/rope): a table of cosines and sines for this call's positions, then every head.
import { float, type WasmLowering } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import type { RopeAttributes } from "./op.ts";

export const lower: WasmLowering<RopeAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const x = required(inputs[0], "rope x");
  const frequencies = required(inputs[1], "rope inv_freq");
  const positions = inputs[2];
  const [batch = 0, tokens = 0, heads = 0, channels = 0] = x.shape;
  const [half = 0] = frequencies.shape;
  const rows = positions === undefined ? tokens : batch * tokens;
  // How the table's rows get their positions: by token, from the start of the batch row, or each its own.
  const source = positions === undefined ? 0 : positions.shape.length;
  const table = emit.scratch(4 * rows * 2 * half);
  const factors = [float(attributes.attentionScaling), float(attributes.inverse ? -1 : 1)];
  emit.command("rope_table", [frequencies, positions, table, rows, half, tokens, source, ...factors]);
  emit.command("rope", [x, table, outputs[0], batch * tokens, rows, heads, channels, half]);
};
