// What the ops of S4D share on the GPU: the table of modes (kernels/s4d_kernel/modes.wgsl).
import { type Emitter, type GpuTensor, read, type Scratch, spread, write } from "../../runtime/webgpu/lowering.ts";
import { required } from "../types.ts";
import type { Discretization } from "./parameters.ts";

/** The parameters log_dt, A_log_real, A_imag, C as bindings. */
export function parameterBindings([logDt, logReal, imaginary, c]: readonly (GpuTensor | undefined)[]) {
  return { log_dt: read(logDt), log_real: read(logReal), imaginary: read(imaginary), c: read(c) };
}

/** Constants of every kernel of S4D. */
export function modeConstants(parameters: readonly (GpuTensor | undefined)[], discretization: Discretization) {
  const [channels = 0, modes = 0] = required(parameters[1], "A_log_real").shape;
  return { CHANNELS: channels, MODES: modes, EULER: discretization === "euler" };
}

/** Emits the table of modes, 16 floats each. */
export function emitModes(
  parameters: readonly (GpuTensor | undefined)[],
  discretization: Discretization,
  emit: Emitter,
): Scratch {
  const constants = modeConstants(parameters, discretization);
  const count = constants.CHANNELS * constants.MODES;
  const modes = emit.scratch(64 * count);
  emit.dispatch({
    kernel: "s4d_kernel/modes",
    constants: { EULER: constants.EULER },
    uniforms: { zero: 0, count, modes: constants.MODES },
    bindings: { ...parameterBindings(parameters), table: write(modes, 4), modes: undefined },
    workgroups: spread(Math.ceil(count / 64)),
    reason: "phases in 48 bits, once per mode",
  });
  return modes;
}
