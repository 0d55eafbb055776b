// Dispatch of wkv_gradient (kernels/wkv): a thread per channel walks back through all tokens.
import { type GpuLowering, read, spread, write } from "../../runtime/webgpu/lowering.ts";
import { batchParts } from "../rg-lru/gpu.ts";
import { required } from "../types.ts";
import type { WkvAttributes } from "../wkv/op.ts";

export const lower: GpuLowering<WkvAttributes> = ({ inputs, outputs }, emit) => {
  const k = required(inputs[0], "k");
  const [, v, w, u, states, sT, dy, dsT] = inputs;
  const [dk, dv, dw, du, ds0] = outputs;
  const [batch = 0, tokens = 0, channels = 0] = k.shape;
  if (batch * channels === 0) return;
  const sequence = tokens * channels;
  for (const { rows, cut } of batchParts(batch, channels, 3 * sequence, emit.device)) {
    emit.dispatch({
      kernel: "wkv/backward",
      constants: { CHANNELS: channels },
      uniforms: { rows, tokens },
      bindings: {
        k: read(cut(k, sequence)),
        v: read(cut(v, sequence)),
        w: read(w),
        u: read(u),
        states: read(cut(states, 3 * sequence)),
        st: read(cut(sT, 3 * channels)),
        dy: read(cut(dy, sequence)),
        dst: read(cut(dsT, 3 * channels)),
        dk: write(cut(dk, sequence)),
        dv: write(cut(dv, sequence)),
        dw: write(cut(dw, channels)),
        du: write(cut(du, channels)),
        ds0: write(cut(ds0, 3 * channels)),
      },
      workgroups: spread(Math.ceil((rows * channels) / 64)),
      reason: "a thread per channel, back token by token",
    });
  }
};
