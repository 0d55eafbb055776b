// Dispatch of long_convolution (kernels/long_convolution): by transforms in workgroup memory, whole sequences where they fit, otherwise
// block by block, products of the blocks' spectra being summed before they are transformed back.
import { type GpuLowering, read, spread, write } from "../../runtime/webgpu/lowering.ts";
import { required } from "../types.ts";
import {
  batchRuns,
  blockRuns,
  emitBlocks,
  emitSpectra,
  MOST_POINTS,
  rowsOf,
  spectraScratch,
  wholeSequences,
} from "./gpu.ts";
import type { LongConvolutionAttributes } from "./op.ts";

export const lower: GpuLowering<LongConvolutionAttributes> = ({ inputs, outputs }, emit) => {
  const u = required(inputs[0], "u");
  const taps = required(inputs[1], "K");
  const y = required(outputs[0], "y");
  const [batch = 0, tokens = 0, channels = 0] = u.shape;
  if (batch * tokens * channels === 0) return;
  if (tokens > MOST_POINTS) {
    for (const sizes of blockRuns(batch, tokens, channels, emit.device)) {
      const left = spectraScratch(sizes, batch, emit);
      const right = spectraScratch(sizes, 1, emit);
      emitSpectra(u, left, sizes, {}, emit);
      emitSpectra(taps, right, sizes, { taps: true, window: true }, emit);
      emitBlocks({ left, right, y }, sizes, { reversed: false, sumRows: false }, emit);
    }
    return;
  }
  const { constants, groups, share, reason } = wholeSequences(tokens, channels);
  const size = tokens * channels;
  for (const { first, rows } of batchRuns(batch, tokens, channels, emit.device)) {
    const { each, parts } = share(rows);
    const [x, result] = [u, y].map((tensor) => rowsOf(tensor, first, rows, size));
    emit.dispatch({
      kernel: "long_convolution/convolve",
      constants: { ...constants, REVERSED: false },
      uniforms: { tokens, rows, rows_each: each, before: x?.before ?? 0 },
      bindings: {
        x: read(x?.bound),
        taps: read(taps),
        y: write(result?.bound),
      },
      workgroups: spread(groups * parts),
      reason,
    });
  }
};
