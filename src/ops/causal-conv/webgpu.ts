// How the WebGPU runtime computes causal_conv (kernels/causal_conv): one dispatch, in which the thread that reads the window of a
// channel also writes the next one.
import { type GpuLowering, read, spread } from "../../runtime/webgpu/lowering.ts";
import { required } from "../types.ts";
import { bindingOf, convSizes, piecesOf, pieceViews, runLength } from "./gpu.ts";
import type { CausalConvAttributes } from "./op.ts";

/** Most tokens a thread. */
const LONGEST_RUN = 16;

export const lower: GpuLowering<CausalConvAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const [x, w, bias, past] = inputs;
  const [y, present] = outputs;
  const sizes = convSizes(x, w);
  const { channels, taps } = sizes;
  if (sizes.batch * channels === 0) return;
  const width = channels % 4 === 0 ? 4 : 1;
  for (const piece of piecesOf(sizes, emit.device)) {
    const { before, rows, tokens } = piece;
    const views = pieceViews(sizes, piece);
    const [seen, sums] = [views.sequence(x, before, 0), views.sequence(y, 0, 0)];
    const ends = piece.token + tokens === sizes.tokens;
    const [window, next] = [
      piece.token === 0 ? views.window(past) : undefined,
      ends ? views.window(present) : undefined,
    ];
    // A run that is not the first must not reach the window, which may be overwritten by then.
    const run = runLength((rows * tokens * channels) / width, Math.max(1, taps - 1), LONGEST_RUN);
    const runs = Math.max(1, Math.ceil(tokens / run));
    const count = (rows * runs * channels) / width;
    emit.dispatch({
      kernel: "causal_conv/forward",
      constants: { CHANNELS: channels, TAPS: taps, WIDTH: width, SILU: attributes.activation === "silu" },
      uniforms: {
        ...{ count, run, runs, time: tokens, before, rows: before + tokens },
        ...{ x_at: seen?.at ?? 0, y_at: sums?.at ?? 0, past_at: window?.at ?? 0, present_at: next?.at ?? 0 },
      },
      bindings: {
        ...{ x: bindingOf(seen, "read", width), w: read(required(w, "w")), bias: read(bias, width) },
        ...{ past: bindingOf(window, "read", width), y: bindingOf(sums, "write", width) },
        present: bindingOf(next, "write", width),
      },
      workgroups: spread(Math.ceil(count / 64)),
      reason: `${width === 4 ? "four channels" : "a channel"} and ${Math.min(run, tokens)} tokens a thread`,
    });
  }
};
