// Dispatch of expert_matmul: few rows each by itself, reading the weights that it has chosen; many sorted by expert, in tiles.
import { sizeOf } from "../../graph/shape.ts";
import type { GpuLowering } from "../../runtime/webgpu/lowering.ts";
import { emitFewExpertRows } from "../matmul/few-rows.ts";
import { required } from "../types.ts";
import { emitGrouped } from "./grouped.ts";
import { type ExpertMatmulAttributes, rowsPerInput } from "./op.ts";

/** Rows that read their weights by themselves, and as many for each expert: beyond, experts are shared often enough for tiles to pay. */
const FEW_ROWS = 32;
const FEW_ROWS_PER_EXPERT = 0.5;

export const lower: GpuLowering<ExpertMatmulAttributes> = ({ inputs, outputs, attributes: { transposed } }, emit) => {
  const x = required(inputs[0], "x");
  const weight = required(inputs[1], "weight");
  const indices = required(inputs[2], "indices");
  const y = required(outputs[0], "expert_matmul output");
  const rows = sizeOf(indices.shape);
  if (sizeOf(y.shape) === 0) return;
  const few = Math.max(FEW_ROWS, FEW_ROWS_PER_EXPERT * (weight.shape[0] ?? 1));
  if (rows <= few && !transposed) {
    emitFewExpertRows({ x, weight, indices, out: y, rows, per: rowsPerInput(x, indices) }, emit);
    return;
  }
  const routing = { indices, order: required(inputs[3], "order"), starts: required(inputs[4], "starts") };
  emitGrouped({ x, weight, y, transposed }, routing, emit);
};
