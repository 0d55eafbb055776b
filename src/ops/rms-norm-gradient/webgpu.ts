// Dispatch of rms_norm_gradient (kernels/rms_norm): teams of threads over chunks of rows, then the sum of the chunks' weight
// gradients.
import {
  type DeviceFacts,
  type GpuLowering,
  type GpuTensor,
  read,
  rowRuns,
  update,
  write,
} from "../../runtime/webgpu/lowering.ts";
import { rowsOf, teamFor, teamGrid, teamReason } from "../../runtime/webgpu/teams.ts";
import { inUnits, unitOf } from "../../runtime/webgpu/units.ts";
import { reduceStage } from "../reduce/webgpu.ts";
import type { RmsNormAttributes } from "../rms-norm/op.ts";
import { normConstants } from "../rms-norm/webgpu.ts";
import { required } from "../types.ts";

/** Units of a row that a thread keeps in registers. */
const MOST_HELD = 4;
/** Partial sums of the weight's gradient: enough teams to fill a GPU, few enough that adding them up is little. */
const MOST_CHUNKS = 512;

/** Rows that one team goes through, so that there are at most so many partial sums, and that they can be bound. */
export function rowsPerChunk(rows: number, channels: number, runs: number, { maxBinding }: DeviceFacts): number {
  // A run of rows may end with a chunk that is not full.
  const bindable = Math.floor(maxBinding / (4 * channels)) - runs;
  return Math.ceil(rows / Math.max(1, Math.min(MOST_CHUNKS, bindable)));
}

export const lower: GpuLowering<RmsNormAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const [input, weight, gate, dy, dsum] = inputs;
  const x = required(input, "x");
  const dx = outputs[0];
  const dweight = weight === undefined ? undefined : outputs[1];
  const dgate = gate === undefined ? undefined : outputs[weight === undefined ? 1 : 2];
  const channels = x.shape.at(-1) ?? 1;
  const rows = x.shape.slice(0, -1).reduce((n, d) => n * d, 1);
  if (rows === 0) return;
  const constants = normConstants(channels, attributes);
  const vector = unitOf(constants.WIDTH);
  const units = constants.WIDTH / vector;
  const team = teamFor(units, emit.device);
  const items = Math.ceil(units / team.TEAM);
  const runs = rowRuns(rows, channels, "f32", emit.device);
  const rowsEach = rowsPerChunk(rows, channels, runs.length, emit.device);
  const chunks = runs.reduce((sum, run) => sum + Math.ceil(run.rows / rowsEach), 0);
  const partial = dweight && (chunks === 1 ? dweight : emit.scratch(4 * chunks * channels));
  let chunk = 0;
  for (const run of runs) {
    const cut = (tensor: GpuTensor | undefined) => rowsOf(tensor, run, channels);
    const teams = Math.ceil(run.rows / rowsEach) * attributes.groups;
    const dispatch = {
      kernel: "rms_norm/rms_norm_gradient",
      constants: { ...constants, ...team, HELD: items <= MOST_HELD, ITEMS: items, UNITS: units },
      uniforms: { rows: run.rows, rows_each: rowsEach, partial_first: chunk },
      bindings: {
        x: read(cut(x)),
        weight: read(weight),
        gate: read(cut(gate)),
        dy: read(cut(dy)),
        dsum: read(cut(dsum)),
        dx: write(cut(dx)),
        dgate: write(cut(dgate)),
        partial: items <= MOST_HELD ? write(partial) : update(partial),
      },
      workgroups: teamGrid(teams, team),
      reason: `${teamReason(team, vector)}, ${rowsEach} rows each`,
    };
    emit.dispatch(inUnits(dispatch, vector, Object.keys(dispatch.bindings)));
    chunk += Math.ceil(run.rows / rowsEach);
  }
  if (partial !== undefined && partial !== dweight && dweight !== undefined)
    reduceStage({ source: partial, target: dweight, outer: 1, count: chunks, inner: channels, fn: "sum" }, emit);
};
