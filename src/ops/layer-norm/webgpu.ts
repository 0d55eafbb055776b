// Dispatch of layer_norm (kernels/layer_norm): a team of threads per row.
import { float, type GpuLowering, type GpuTensor, read, rowRuns, write } from "../../runtime/webgpu/lowering.ts";
import { rowsOf, teamFor, teamGrid, teamReason } from "../../runtime/webgpu/teams.ts";
import { inUnits, unitOf } from "../../runtime/webgpu/units.ts";
import { required } from "../types.ts";
import type { LayerNormAttributes } from "./op.ts";

/** Units of a row that a thread keeps in registers between the passes. */
const MOST_HELD = 8;

export const lower: GpuLowering<LayerNormAttributes> = ({ inputs, outputs, attributes: { eps } }, emit) => {
  const [input, weight, bias, residual] = inputs;
  const x = required(input, "x");
  const [y, sum] = outputs;
  const channels = x.shape.at(-1) ?? 1;
  const rows = x.shape.slice(0, -1).reduce((n, d) => n * d, 1);
  if (rows === 0) return;
  const vector = unitOf(channels);
  const units = channels / vector;
  const team = teamFor(units, emit.device);
  const items = Math.ceil(units / team.TEAM);
  for (const run of rowRuns(rows, channels, "f32", emit.device)) {
    const cut = (tensor: GpuTensor | undefined) => rowsOf(tensor, run, channels);
    const dispatch = {
      kernel: "layer_norm/layer_norm",
      constants: { WIDTH: channels, UNITS: units, EPS: float(eps), ...team, HELD: items <= MOST_HELD, ITEMS: items },
      uniforms: { rows: run.rows },
      bindings: {
        ...{ x: read(cut(x)), weight: read(weight), bias: read(bias), residual: read(cut(residual)) },
        ...{ y: write(cut(y)), sum: write(cut(sum)) },
      },
      workgroups: teamGrid(run.rows, team),
      reason: teamReason(team, vector),
    };
    emit.dispatch(inUnits(dispatch, vector, Object.keys(dispatch.bindings)));
  }
};
