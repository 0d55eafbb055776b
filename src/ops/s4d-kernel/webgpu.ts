// Dispatch of s4d_kernel (kernels/s4d_kernel): the table of modes, then the response, cut along channels where K is larger than a binding.
import { type GpuLowering, PART_ALIGNMENT, part, read, spread, write } from "../../runtime/webgpu/lowering.ts";
import { required } from "../types.ts";
import { emitModes, modeConstants } from "./gpu.ts";
import type { S4dKernelAttributes } from "./op.ts";

/** Tokens that a thread keeps in registers at most. */
const MOST_EACH = 16;

export const lower: GpuLowering<S4dKernelAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const kernel = required(outputs[0], "K");
  const [channels = 0, tokens = 0] = kernel.shape;
  const constants = modeConstants(inputs, attributes.discretization);
  if (channels * tokens === 0) return;
  const modes = emitModes(inputs, attributes.discretization, emit);
  const each = Math.min(MOST_EACH, 2 ** Math.ceil(Math.log2(Math.max(1, tokens / 64))));
  const { maxBinding } = emit.device;
  const most =
    4 * channels * tokens <= maxBinding
      ? channels
      : Math.max(1, Math.floor((maxBinding - 4 * PART_ALIGNMENT) / (4 * tokens)));
  for (let first = 0; first < channels; first += most) {
    const count = Math.min(most, channels - first);
    const before = (first * tokens) % PART_ALIGNMENT;
    emit.dispatch({
      kernel: "s4d_kernel/response",
      constants: { ...constants, EACH: each },
      uniforms: { zero: 0, tokens, channels: count, first_channel: first, before },
      bindings: { modes: read(modes, 4), k: write(part(kernel, first * tokens - before, before + count * tokens)) },
      workgroups: spread(count * Math.ceil(tokens / (64 * each))),
      reason: `a channel's ${64 * each} tokens a workgroup`,
    });
  }
};
