// Dispatch of layer_norm_gradient (kernels/layer_norm): teams of threads over chunks of rows, then the sums of the chunks'
// weight and bias gradients.
import {
  float,
  type GpuLowering,
  type GpuTensor,
  read,
  rowRuns,
  update,
  write,
} from "../../runtime/webgpu/lowering.ts";
import { rowsOf, teamFor, teamGrid, teamReason } from "../../runtime/webgpu/teams.ts";
import { inUnits, unitOf } from "../../runtime/webgpu/units.ts";
import type { LayerNormAttributes } from "../layer-norm/op.ts";
import { reduceStage } from "../reduce/webgpu.ts";
import { rowsPerChunk } from "../rms-norm-gradient/webgpu.ts";
import { required } from "../types.ts";

/** Units of a row that a thread keeps in registers. */
const MOST_HELD = 4;

export const lower: GpuLowering<LayerNormAttributes> = ({ inputs, outputs, attributes: { eps } }, emit) => {
  const [input, weight, dy, dsum] = inputs;
  const x = required(input, "x");
  const [dx, dweight, dbias] = outputs;
  const channels = x.shape.at(-1) ?? 1;
  const rows = x.shape.slice(0, -1).reduce((n, d) => n * d, 1);
  if (rows === 0) return;
  const vector = unitOf(channels);
  const units = channels / vector;
  const team = teamFor(units, emit.device);
  const items = Math.ceil(units / team.TEAM);
  const runs = rowRuns(rows, channels, "f32", emit.device);
  const rowsEach = rowsPerChunk(rows, channels, runs.length, emit.device);
  const chunks = runs.reduce((sum, run) => sum + Math.ceil(run.rows / rowsEach), 0);
  const partialOf = (result: GpuTensor | undefined) =>
    result && (chunks === 1 ? result : emit.scratch(4 * chunks * channels));
  const partials = [partialOf(dweight), partialOf(dbias)] as const;
  const access = items <= MOST_HELD ? write : update;
  let chunk = 0;
  for (const run of runs) {
    const cut = (tensor: GpuTensor | undefined) => rowsOf(tensor, run, channels);
    const teams = Math.ceil(run.rows / rowsEach);
    const dispatch = {
      kernel: "layer_norm/layer_norm_gradient",
      constants: { WIDTH: channels, UNITS: units, EPS: float(eps), ...team, HELD: items <= MOST_HELD, ITEMS: items },
      uniforms: { rows: run.rows, rows_each: rowsEach, partial_first: chunk },
      bindings: {
        ...{ x: read(cut(x)), weight: read(weight), dy: read(cut(dy)), dsum: read(cut(dsum)), dx: write(cut(dx)) },
        ...{ weight_partial: access(partials[0]), bias_partial: access(partials[1]) },
      },
      workgroups: teamGrid(teams, team),
      reason: `${teamReason(team, vector)}, ${rowsEach} rows each`,
    };
    emit.dispatch(inUnits(dispatch, vector, Object.keys(dispatch.bindings)));
    chunk += teams;
  }
  if (chunks === 1) return;
  for (const [i, target] of [dweight, dbias].entries()) {
    const source = partials[i];
    if (source !== undefined && target !== undefined)
      reduceStage({ source, target, outer: 1, count: chunks, inner: channels, fn: "sum" }, emit);
  }
};
