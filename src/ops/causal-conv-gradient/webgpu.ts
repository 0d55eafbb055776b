// How the WebGPU runtime computes causal_conv_gradient (kernels/causal_conv): one walk over tokens, then sums for w and bias.
import { type GpuLowering, read, type Scratch, spread, update, write } from "../../runtime/webgpu/lowering.ts";
import { bindingOf, convSizes, piecesOf, pieceViews, runLength } from "../causal-conv/gpu.ts";
import type { CausalConvAttributes } from "../causal-conv/op.ts";
import { required } from "../types.ts";

/** Most tokens a thread, and most partial sums of w and bias per channel. */
const LONGEST_RUN = 64;
const MOST_PARTS = 512;

export const lower: GpuLowering<CausalConvAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const [x, w, bias, past, dy, dpresent] = inputs;
  const [dx, dw, dbias, dpast] = outputs;
  const sizes = convSizes(x, w);
  const { channels, taps } = sizes;
  if (sizes.batch * channels === 0) return;
  const width = channels % 4 === 0 ? 4 : 1;
  const sums = dw !== undefined || dbias !== undefined;
  for (const [i, piece] of piecesOf(sizes, emit.device).entries()) {
    const { before, after, rows, tokens } = piece;
    const views = pieceViews(sizes, piece);
    const seen = views.sequence(x, before, after);
    const upstream = views.sequence(dy, 0, after);
    const result = views.sequence(dx, 0, 0);
    const first = piece.token === 0;
    const last = piece.token + tokens === sizes.tokens;
    const window = first ? views.window(past) : undefined;
    const windowGradient = first ? views.window(dpast) : undefined;
    const nextGradient = last ? views.window(dpresent) : undefined;
    // A run walks taps - 1 tokens more than it owns.
    const least = Math.max(8, 2 * taps, Math.ceil((rows * tokens) / MOST_PARTS));
    const run = runLength((rows * tokens * channels) / width, least, LONGEST_RUN);
    const runs = Math.max(1, Math.ceil(tokens / run));
    const count = (rows * runs * channels) / width;
    const parts: Scratch | undefined = sums ? emit.scratch(4 * rows * runs * (taps + 1) * channels) : undefined;
    emit.dispatch({
      kernel: "causal_conv/backward",
      constants: { CHANNELS: channels, TAPS: taps, WIDTH: width, SILU: attributes.activation === "silu" },
      uniforms: {
        ...{ count, run, runs, time: tokens, before, known: tokens + after, rows: before + tokens + after },
        window: last ? tokens : 0xffffffff,
        ...{ x_at: seen?.at ?? 0, dy_at: upstream?.at ?? 0, dx_at: result?.at ?? 0, past_at: window?.at ?? 0 },
        ...{ dpresent_at: nextGradient?.at ?? 0, dpast_at: windowGradient?.at ?? 0 },
      },
      bindings: {
        ...{ x: bindingOf(seen, "read", width), w: read(required(w, "w")), bias: read(bias, width) },
        ...{ past: bindingOf(window, "read", width), dy: bindingOf(upstream, "read", width) },
        ...{ dpresent: bindingOf(nextGradient, "read", width), dx: bindingOf(result, "write", width) },
        ...{ dpast: bindingOf(windowGradient, "write", width), parts: write(parts, width) },
      },
      workgroups: spread(Math.ceil(count / 64)),
      reason: `${width === 4 ? "four channels" : "a channel"} and ${Math.min(run, tokens)} tokens a thread`,
    });
    if (parts === undefined) continue;
    const access = i > 0 ? update : write;
    emit.dispatch({
      kernel: "causal_conv/sum",
      constants: { CHANNELS: channels, TAPS: taps, ADD: i > 0 },
      uniforms: { parts: rows * runs },
      bindings: { parts: read(parts), dw: access(dw), dbias: access(dbias) },
      workgroups: spread(Math.ceil(((taps + 1) * channels) / 64)),
    });
  }
};
