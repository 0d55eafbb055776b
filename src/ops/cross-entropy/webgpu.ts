// Dispatch of cross_entropy (kernels/cross_entropy): teams of threads over rows, or over parts of rows where there are few; then
// one workgroup for the mean.
import { type GpuLowering, read, rowRuns, write } from "../../runtime/webgpu/lowering.ts";
import { rowsOf, teamFor, teamGrid, teamReason } from "../../runtime/webgpu/teams.ts";
import { inUnits, unitOf } from "../../runtime/webgpu/units.ts";
import { required } from "../types.ts";
import type { CrossEntropyAttributes } from "./op.ts";

/** Workgroups that fill a large GPU. */
const ENOUGH_WORKGROUPS = 256;
/** Units that a thread should go through before another workgroup takes over. */
const UNITS_PER_THREAD = 8;
/** Threads that add up the rows' losses: one workgroup. */
const MEAN_THREADS = 1024;

/** The target that takes a row out of the mean, as the bits of a u32. */
export const ignored = ({ ignore }: CrossEntropyAttributes): number => ignore >>> 0;

export const lower: GpuLowering<CrossEntropyAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const logits = required(inputs[0], "logits");
  const targets = required(inputs[1], "targets");
  const [loss, lse, count] = outputs;
  const classes = logits.shape.at(-1) ?? 1;
  const rows = logits.shape.slice(0, -1).reduce((n, d) => n * d, 1);
  const vector = unitOf(classes);
  const units = classes / vector;
  const team = teamFor(units, emit.device);
  const wanted = Math.ceil((ENOUGH_WORKGROUPS * team.WORKGROUP) / team.TEAM / Math.max(1, rows));
  const parts = Math.max(1, Math.min(wanted, Math.floor(units / (team.TEAM * UNITS_PER_THREAD))));
  const partial = emit.scratch(8 * rows * parts);
  const picked = emit.scratch(4 * rows);
  for (const run of rowRuns(rows, classes, "f32", emit.device)) {
    if (run.rows === 0) continue;
    const dispatch = {
      kernel: "cross_entropy/rows",
      constants: { CLASSES: classes, ...team },
      uniforms: { slices: run.rows * parts, parts, units_each: Math.ceil(units / parts), first_row: run.first },
      bindings: {
        ...{ logits: read(rowsOf(logits, run, classes)), targets: read(targets) },
        ...{ partial: write(partial), picked: write(picked) },
      },
      workgroups: teamGrid(run.rows * parts, team),
      reason: `${teamReason(team, vector)}${parts > 1 ? `, ${parts} parts` : ""}`,
    };
    emit.dispatch(inUnits(dispatch, vector, ["logits"]));
  }
  const all = teamFor(MEAN_THREADS, emit.device);
  emit.dispatch({
    kernel: "cross_entropy/mean",
    constants: { CLASSES: classes, IGNORE: ignored(attributes), ...all },
    uniforms: { rows, parts, zero: 0 },
    bindings: {
      ...{ partial: read(partial), picked: read(picked), targets: read(targets) },
      ...{ lse: write(lse), loss: write(loss), count: write(count) },
    },
    workgroups: [1],
  });
};
