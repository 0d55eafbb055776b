// Dispatch of long_convolution_gradient (kernels/long_convolution): with dy backwards in time both gradients are convolutions.
import { type GpuLowering, read, spread, write } from "../../runtime/webgpu/lowering.ts";
import {
  batchRuns,
  blockRuns,
  emitBlocks,
  emitSpectra,
  MOST_POINTS,
  rowsOf,
  spectraScratch,
  wholeSequences,
} from "../long-convolution/gpu.ts";
import type { LongConvolutionAttributes } from "../long-convolution/op.ts";
import { required } from "../types.ts";

export const lower: GpuLowering<LongConvolutionAttributes> = ({ inputs, outputs }, emit) => {
  const u = required(inputs[0], "u");
  const taps = required(inputs[1], "K");
  const dy = required(inputs[2], "dy");
  const [du, dTaps] = outputs;
  const [batch = 0, tokens = 0, channels = 0] = u.shape;
  if (tokens * channels === 0) return;
  if (tokens > MOST_POINTS) {
    for (const sizes of blockRuns(batch, tokens, channels, emit.device)) {
      const upstream = spectraScratch(sizes, batch, emit);
      emitSpectra(dy, upstream, sizes, { reversed: true }, emit);
      if (du !== undefined) {
        const right = spectraScratch(sizes, 1, emit);
        emitSpectra(taps, right, sizes, { taps: true, window: true }, emit);
        emitBlocks({ left: upstream, right, y: du }, sizes, { reversed: true, sumRows: false }, emit);
      }
      if (dTaps !== undefined) {
        const right = spectraScratch(sizes, batch, emit);
        emitSpectra(u, right, sizes, { window: true }, emit);
        emitBlocks({ left: upstream, right, y: dTaps }, sizes, { reversed: true, sumRows: true }, emit);
      }
    }
    return;
  }
  const { constants, groups, share, reason } = wholeSequences(tokens, channels);
  const size = tokens * channels;
  const runs = batchRuns(batch, tokens, channels, emit.device).map((run) => ({ ...run, ...share(run.rows) }));
  const allParts = runs.reduce((sum, { parts }) => sum + parts, 0);
  const partial = dTaps !== undefined && allParts > 1 ? emit.scratch(4 * allParts * size) : undefined;
  let firstPart = 0;
  for (const { first, rows, each, parts } of runs) {
    const cut = (tensor: typeof u) => rowsOf(tensor, first, rows, size).bound;
    emit.dispatch({
      kernel: "long_convolution/gradient",
      constants,
      uniforms: { tokens, rows, rows_each: each, first_part: firstPart, before: rowsOf(dy, first, rows, size).before },
      bindings: {
        dy: read(cut(dy)),
        u: dTaps && read(cut(u)),
        taps: du && read(taps),
        du: du && write(cut(du)),
        dtaps: write(partial ?? dTaps),
      },
      workgroups: spread(groups * parts),
      reason,
    });
    firstPart += parts;
  }
  if (partial !== undefined && dTaps !== undefined) {
    emit.dispatch({
      kernel: "long_convolution/sum",
      uniforms: { elements: size, parts: allParts },
      bindings: { parts: read(partial), dtaps: write(dTaps) },
      workgroups: spread(Math.ceil(size / 64)),
      reason: `${allParts} partial sums over rows`,
    });
  }
};
