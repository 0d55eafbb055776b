// Dispatch of rg_lru_gradient (kernels/rg_lru): a thread per channel walks back through all tokens.
import { float, type GpuLowering, read, spread, write } from "../../runtime/webgpu/lowering.ts";
import { batchParts } from "../rg-lru/gpu.ts";
import { type RgLruAttributes, SMALLEST_FACTOR } from "../rg-lru/op.ts";
import { required } from "../types.ts";

export const lower: GpuLowering<RgLruAttributes> = ({ inputs, outputs }, emit) => {
  const x = required(inputs[0], "x");
  const [, logA, position, h0, y, dy, dhT] = inputs;
  const [dx, dLogA, dh0] = outputs;
  const [batch = 0, tokens = 0, channels = 0] = x.shape;
  if (batch * channels === 0) return;
  const sequence = tokens * channels;
  for (const { first, rows, cut } of batchParts(batch, channels, sequence, emit.device)) {
    emit.dispatch({
      kernel: "rg_lru/backward",
      constants: { CHANNELS: channels, SMALLEST: float(SMALLEST_FACTOR) },
      uniforms: { rows, tokens, first },
      bindings: {
        x: read(cut(x, sequence)),
        log_a: read(cut(logA, sequence)),
        position: read(position),
        h0: read(cut(h0, channels)),
        y: read(cut(y, sequence)),
        dy: read(cut(dy, sequence)),
        dht: read(cut(dhT, channels)),
        dx: write(cut(dx, sequence)),
        dlog_a: write(cut(dLogA, sequence)),
        dh0: write(cut(dh0, channels)),
      },
      workgroups: spread(Math.ceil((rows * channels) / 64)),
      reason: "a thread per channel, back token by token",
    });
  }
};
