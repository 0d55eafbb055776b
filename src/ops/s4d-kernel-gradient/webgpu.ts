// Dispatch of s4d_kernel_gradient (kernels/s4d_kernel/gradient.wgsl): the table of modes, then a workgroup per channel.
import { type GpuLowering, PART_ALIGNMENT, part, read, spread, write } from "../../runtime/webgpu/lowering.ts";
import { emitModes, modeConstants } from "../s4d-kernel/gpu.ts";
import { required } from "../types.ts";
import type { S4dKernelGradientAttributes } from "./op.ts";

const WORKGROUP = 256;
const MOST_MODES = 16;
/** Tokens of dK in workgroup memory. */
const MOST_TOKENS = 1024;

export const lower: GpuLowering<S4dKernelGradientAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const upstream = required(inputs[4], "dK");
  const [channels = 0, tokens = 0] = upstream.shape;
  const constants = modeConstants(inputs, attributes.discretization);
  if (channels === 0) return;
  const modes = emitModes(inputs, attributes.discretization, emit);
  const tile = Math.min(MOST_MODES, 2 ** Math.ceil(Math.log2(constants.MODES)));
  const segments = WORKGROUP / tile;
  const [dStep, dReal, dImaginary, dC] = outputs;
  const { maxBinding } = emit.device;
  const most =
    4 * channels * tokens <= maxBinding
      ? channels
      : Math.max(1, Math.floor((maxBinding - 4 * PART_ALIGNMENT) / (4 * tokens)));
  for (let first = 0; first < channels; first += most) {
    const count = Math.min(most, channels - first);
    const before = (first * tokens) % PART_ALIGNMENT;
    emit.dispatch({
      kernel: "s4d_kernel/gradient",
      constants: { ...constants, WORKGROUP, TILE: tile, SEGMENTS: segments, MOST_TOKENS },
      uniforms: {
        ...{ zero: 0, tokens, channels: count, first_channel: first, before },
        span: Math.max(1, Math.ceil(Math.min(tokens, MOST_TOKENS) / segments)),
      },
      bindings: {
        c: read(inputs[3]),
        modes: read(modes, 4),
        dk: read(part(upstream, first * tokens - before, before + count * tokens)),
        dstep: write(dStep),
        dreal: write(dReal),
        dimaginary: write(dImaginary),
        dc: write(dC),
      },
      workgroups: spread(count),
      reason: `${tile} modes by ${segments} runs of tokens`,
    });
  }
};
