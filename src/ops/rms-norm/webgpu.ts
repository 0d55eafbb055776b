// Dispatch of rms_norm (kernels/rms_norm): a team of threads per slice of channels.
import { float, type GpuLowering, type GpuTensor, read, rowRuns, write } from "../../runtime/webgpu/lowering.ts";
import { rowsOf, teamFor, teamGrid, teamReason } from "../../runtime/webgpu/teams.ts";
import { inUnits, unitOf } from "../../runtime/webgpu/units.ts";
import { required } from "../types.ts";
import type { RmsNormAttributes } from "./op.ts";
import { activationCode } from "./wasm.ts";

/** Units of a row that a thread keeps in registers between two passes. */
const MOST_HELD = 8;

/** Constants that forward and backward have in common. */
export function normConstants(channels: number, a: RmsNormAttributes) {
  return {
    GROUPS: a.groups,
    WIDTH: channels / a.groups,
    EPS: float(a.eps),
    SCALE: float(a.scale),
    ONE_PLUS_WEIGHT: a.mode === "one_plus_weight",
    GATE_FIRST: !a.normBeforeGate,
    ACTIVATION: activationCode[a.gateActivation],
  };
}

export const lower: GpuLowering<RmsNormAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const [input, weight, gate, residual] = inputs;
  const x = required(input, "x");
  const [y, sum] = outputs;
  const channels = x.shape.at(-1) ?? 1;
  const rows = x.shape.slice(0, -1).reduce((n, d) => n * d, 1);
  if (rows === 0) return;
  const constants = normConstants(channels, attributes);
  const vector = unitOf(constants.WIDTH);
  const units = constants.WIDTH / vector;
  const team = teamFor(units, emit.device);
  const items = Math.ceil(units / team.TEAM);
  for (const run of rowRuns(rows, channels, "f32", emit.device)) {
    const cut = (tensor: GpuTensor | undefined) => rowsOf(tensor, run, channels);
    const dispatch = {
      kernel: "rms_norm/rms_norm",
      constants: { ...constants, ...team, HELD: items <= MOST_HELD, ITEMS: items, UNITS: units },
      uniforms: { slices: run.rows * attributes.groups },
      bindings: {
        x: read(cut(x)),
        weight: read(weight),
        gate: read(cut(gate)),
        residual: read(cut(residual)),
        y: write(cut(y)),
        sum: write(cut(sum)),
      },
      workgroups: teamGrid(run.rows * attributes.groups, team),
      reason: teamReason(team, vector),
    };
    emit.dispatch(inUnits(dispatch, vector, Object.keys(dispatch.bindings)));
  }
};
