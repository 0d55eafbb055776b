// Dispatch of group_rows (kernels/group_rows): a workgroup per expert, whose threads go through all rows.
import { sizeOf } from "../../graph/shape.ts";
import { type GpuLowering, read, spread, write } from "../../runtime/webgpu/lowering.ts";
import { teamFor } from "../../runtime/webgpu/teams.ts";
import { required } from "../types.ts";
import type { GroupRowsAttributes } from "./op.ts";

/** Threads of a workgroup. */
const THREADS = 256;

export const lower: GpuLowering<GroupRowsAttributes> = ({ inputs, outputs, attributes: { experts } }, emit) => {
  const indices = required(inputs[0], "indices");
  const rows = sizeOf(indices.shape);
  emit.dispatch({
    kernel: "group_rows/group_rows",
    constants: { ...teamFor(4 * THREADS, emit.device) },
    uniforms: { rows, experts },
    bindings: {
      indices: read(indices),
      ...{ order: write(outputs[0]), starts: write(outputs[1]), counts: write(outputs[2]) },
    },
    workgroups: spread(experts),
    reason: "a workgroup an expert",
  });
};
