// Dispatch of wkv (kernels/wkv): a thread per channel walks through all tokens.
import { type GpuLowering, read, spread, write } from "../../runtime/webgpu/lowering.ts";
import { batchParts } from "../rg-lru/gpu.ts";
import { required } from "../types.ts";
import type { WkvAttributes } from "./op.ts";

export const lower: GpuLowering<WkvAttributes> = ({ inputs, outputs }, emit) => {
  const k = required(inputs[0], "k");
  const [, v, w, u, s0] = inputs;
  const [y, sT, states] = outputs;
  const [batch = 0, tokens = 0, channels = 0] = k.shape;
  if (batch * channels === 0) return;
  const sequence = tokens * channels;
  for (const { rows, cut } of batchParts(
    batch,
    channels,
    states === undefined ? sequence : 3 * sequence,
    emit.device,
  )) {
    emit.dispatch({
      kernel: "wkv/forward",
      constants: { CHANNELS: channels },
      uniforms: { rows, tokens },
      bindings: {
        k: read(cut(k, sequence)),
        v: read(cut(v, sequence)),
        w: read(w),
        u: read(u),
        s0: read(cut(s0, 3 * channels)),
        y: write(cut(y, sequence)),
        st: write(cut(sT, 3 * channels)),
        states: write(cut(states, 3 * sequence)),
      },
      workgroups: spread(Math.ceil((rows * channels) / 64)),
      reason: "a thread per channel, token by token",
    });
  }
};
