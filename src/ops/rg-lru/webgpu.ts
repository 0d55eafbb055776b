// Dispatch of rg_lru (kernels/rg_lru): a thread per channel walks through all tokens.
import { type GpuLowering, read, spread, write } from "../../runtime/webgpu/lowering.ts";
import { required } from "../types.ts";
import { batchParts } from "./gpu.ts";
import type { RgLruAttributes } from "./op.ts";

export const lower: GpuLowering<RgLruAttributes> = ({ inputs, outputs }, emit) => {
  const x = required(inputs[0], "x");
  const [, logA, position, h0] = inputs;
  const [batch = 0, tokens = 0, channels = 0] = x.shape;
  if (batch * channels === 0) return;
  const sequence = tokens * channels;
  for (const { first, rows, cut } of batchParts(batch, channels, sequence, emit.device)) {
    emit.dispatch({
      kernel: "rg_lru/forward",
      constants: { CHANNELS: channels },
      uniforms: { rows, tokens, first },
      bindings: {
        x: read(cut(x, sequence)),
        log_a: read(cut(logA, sequence)),
        position: read(position),
        h0: read(cut(h0, channels)),
        y: write(cut(outputs[0], sequence)),
        ht: write(cut(outputs[1], channels)),
      },
      workgroups: spread(Math.ceil((rows * channels) / 64)),
      reason: "a thread per channel, token by token",
    });
  }
};
