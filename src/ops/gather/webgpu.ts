// Dispatch of gather (kernels/gather), once for every part of a table that is larger than a binding.
import { sizeOf } from "../../graph/shape.ts";
import { type GpuLowering, read, rowRuns, spread, write } from "../../runtime/webgpu/lowering.ts";
import { rowsOf } from "../../runtime/webgpu/teams.ts";
import { inUnits, unitOf } from "../../runtime/webgpu/units.ts";
import { required } from "../types.ts";
import type { GatherAttributes } from "./op.ts";

const WORKGROUP = 64;

export const lower: GpuLowering<GatherAttributes> = ({ inputs, outputs }, emit) => {
  const table = required(inputs[0], "table");
  const indices = required(inputs[1], "indices");
  const y = required(outputs[0], "gather output");
  const [rows = 0, width = 0] = table.shape;
  const count = sizeOf(indices.shape);
  if (count * width === 0) return;
  const vector = unitOf(width);
  for (const some of rowRuns(count, width, "f32", emit.device)) {
    for (const run of rowRuns(rows, width, table.storage, emit.device)) {
      const dispatch = {
        kernel: "gather/gather",
        constants: { TABLE_ROWS: rows, UNITS: width / vector, WORKGROUP },
        uniforms: {
          ...{ zero: 0, count: (some.rows * width) / vector, first_index: some.first },
          ...{ first_row: run.first, rows: run.rows },
        },
        bindings: { table: read(rowsOf(table, run, width)), indices: read(indices), y: write(rowsOf(y, some, width)) },
        workgroups: spread(Math.ceil((some.rows * width) / vector / WORKGROUP)),
        reason: `${vector === 4 ? "four elements" : "an element"} a thread${run.rows < rows ? ", a part of the table" : ""}`,
      };
      emit.dispatch(inUnits(dispatch, vector, ["table", "y"]));
    }
  }
};
