// Dispatch of adamw (kernels/adamw).
import { sizeOf } from "../../graph/shape.ts";
import { float, type GpuLowering, read, rowRuns, spread, write } from "../../runtime/webgpu/lowering.ts";
import { rowsOf } from "../../runtime/webgpu/teams.ts";
import { inUnits, unitOf } from "../../runtime/webgpu/units.ts";
import { required } from "../types.ts";
import type { AdamwAttributes } from "./op.ts";

const WORKGROUP = 64;

export const lower: GpuLowering<AdamwAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const [parameter, gradient, m, v, hyper, scale] = inputs;
  const { beta1, beta2, eps, weightDecay } = attributes;
  const total = sizeOf(required(parameter, "parameter").shape);
  if (total === 0) return;
  const vector = unitOf(total);
  for (const run of rowRuns(total, 1, "f32", emit.device)) {
    const cut = (tensor: typeof parameter) => rowsOf(tensor, run, 1);
    const dispatch = {
      kernel: "adamw/adamw",
      constants: {
        // Complements of the betas are taken in float64: 1 - 0.999 in f32 would be off by 5e-5.
        ...{ BETA1: float(beta1), BETA2: float(beta2), REST1: float(1 - beta1), REST2: float(1 - beta2) },
        ...{ EPS: float(eps), WEIGHT_DECAY: float(weightDecay), WORKGROUP },
      },
      uniforms: { count: run.rows / vector },
      bindings: {
        ...{ parameter: read(cut(parameter)), gradient: read(cut(gradient)), m: read(cut(m)), v: read(cut(v)) },
        ...{ hyper: read(hyper), scale: read(scale) },
        ...{ new_parameter: write(cut(outputs[0])), new_m: write(cut(outputs[1])), new_v: write(cut(outputs[2])) },
      },
      workgroups: spread(Math.ceil(run.rows / vector / WORKGROUP)),
      reason: vector === 4 ? "four elements a thread" : "an element a thread",
    };
    emit.dispatch(inUnits(dispatch, vector, ["parameter", "gradient", "m", "v", "new_parameter", "new_m", "new_v"]));
  }
};
