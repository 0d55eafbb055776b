// Dispatch of gather_gradient (kernels/gather): workgroups own rows of the table; where rows are hit often, the indices are
// cut into parts and the parts' tables added up.
import { sizeOf } from "../../graph/shape.ts";
import { type GpuLowering, read, rowRuns, spread, update } from "../../runtime/webgpu/lowering.ts";
import { rowsOf } from "../../runtime/webgpu/teams.ts";
import { inUnits, unitOf } from "../../runtime/webgpu/units.ts";
import { reduceStage } from "../reduce/webgpu.ts";
import { required } from "../types.ts";
import type { GatherGradientAttributes } from "./op.ts";

const WORKGROUP = 256;
/** Indices that are marked at once. */
const BLOCK = 1024;
/** Rows that a workgroup owns: fewer where the table is small, so that there are workgroups enough. */
const MOST_ROWS = 8;
const ENOUGH_WORKGROUPS = 512;
/** Indices per row and part from which on parts are worth their sum. */
const OFTEN = 16;

export const lower: GpuLowering<GatherGradientAttributes> = ({ inputs, outputs, attributes: { rows } }, emit) => {
  const indices = required(inputs[0], "indices");
  const dy = required(inputs[1], "dy");
  const dtable = required(outputs[0], "gather_gradient output");
  const width = dy.shape.at(-1) ?? 1;
  const count = sizeOf(indices.shape);
  if (rows * width === 0) return;
  const vector = unitOf(width);
  const tableRuns = rowRuns(rows, width, "f32", emit.device);
  const indexRuns = rowRuns(count, width, "f32", emit.device);
  let ROWS = 1;
  while (ROWS < MOST_ROWS && rows / (2 * ROWS) >= ENOUGH_WORKGROUPS) ROWS *= 2;
  const bindable = Math.floor(emit.device.maxBinding / (4 * rows * width));
  const worthwhile = Math.min(Math.ceil(count / BLOCK), Math.floor(count / rows / OFTEN), bindable);
  const parts = indexRuns.length === 1 ? Math.max(1, worthwhile) : 1;
  const results = parts > 1 ? emit.scratch(4 * parts * rows * width) : dtable;
  for (const run of tableRuns) {
    for (const some of indexRuns) {
      const tiles = Math.ceil(run.rows / ROWS);
      const blocks = Math.max(1, Math.ceil(some.rows / BLOCK));
      const dispatch = {
        kernel: "gather/gather_gradient",
        constants: { UNITS: width / vector, ROWS, WORKGROUP },
        uniforms: {
          ...{ count: some.rows, first_index: some.first, adds: some.first === 0 ? 0 : 1 },
          ...{ first_row: run.first, rows: run.rows, tiles, parts, blocks_each: Math.ceil(blocks / parts) },
        },
        bindings: {
          indices: read(indices),
          dy: read(rowsOf(dy, some, width)),
          dtable: update(parts > 1 ? results : rowsOf(dtable, run, width)),
        },
        workgroups: spread(tiles * parts),
        reason: `${ROWS} rows of the table a workgroup${parts > 1 ? `, ${parts} parts of the indices` : ""}`,
      };
      emit.dispatch(inUnits(dispatch, vector, ["dy", "dtable"]));
    }
  }
  if (parts > 1) {
    const table = { outer: 1, count: parts, inner: rows * width, fn: "sum" as const };
    reduceStage({ source: results, target: dtable, ...table }, emit);
  }
};
