// Sizes and dispatches that long_convolution and its gradient share on the GPU.
import { RuntimeError } from "../../runtime/types.ts";
import {
  type DeviceFacts,
  type Dispatch,
  type Emitter,
  type GpuTensor,
  PART_ALIGNMENT,
  part,
  read,
  type Scratch,
  spread,
  write,
} from "../../runtime/webgpu/lowering.ts";

/** Points of the largest transform: 8 KiB of workgroup memory, and a thread of 256 for each four. */
export const MOST_POINTS = 1024;
const FEWEST_POINTS = 16;
/** Neighbouring channels that make up a sector of memory. */
const SECTOR = 8;
/** Workgroups that keep a device busy: fewer are cut along the batch, at the price of transforming the taps again. */
const ENOUGH_WORKGROUPS = 256;
/** Most bytes of the spectra of one run of channels. */
const MOST_SPECTRA = 1 << 26;

/** Points of the transforms of sequences of `tokens`: sequences longer than that are cut into blocks. */
export function pointsFor(tokens: number): number {
  return Math.max(FEWEST_POINTS, Math.min(MOST_POINTS, 2 ** Math.ceil(Math.log2(tokens))));
}

/** Constants of kernels/long_convolution/fourier.wgsl for `sequences` transforms side by side. */
export function fourierConstants(points: number, sequences: number) {
  return {
    N: points,
    ODD_POWER: Math.log2(points) % 2 === 1,
    SEQUENCES: sequences,
    WORKGROUP: (sequences * points) / 4,
  };
}

/** How a whole sequence's convolution is shared out: one workgroup for some channels and some rows. */
export function wholeSequences(tokens: number, channels: number) {
  const points = pointsFor(tokens);
  const sequences = Math.max(1, Math.min(SECTOR, MOST_POINTS / points));
  const groups = Math.ceil(channels / sequences);
  return {
    constants: { ...fourierConstants(points, sequences), CHANNELS: channels, CHANNEL_GROUPS: groups },
    groups,
    /** Rows that a workgroup takes, and how many workgroups that makes per group of channels. */
    share(rows: number) {
      const each = Math.ceil(rows / Math.max(1, Math.min(rows, Math.floor(ENOUGH_WORKGROUPS / groups))));
      return { each, parts: Math.ceil(rows / each) };
    },
    reason: `transforms of ${points} points in workgroup memory, ${sequences} channel${sequences > 1 ? "s" : ""} a workgroup`,
  };
}

/** Rows `first` … `first + rows - 1` of a tensor [.., width]; `before` elements lie before them in the part, which starts where parts may. */
export function rowsOf(tensor: GpuTensor, first: number, rows: number, width: number) {
  const before = (first * width) % PART_ALIGNMENT;
  return { bound: part(tensor, first * width - before, before + rows * width), before };
}

/** How many rows of `width` elements fit in a binding together, wherever they start. */
const rowsPerBinding = (width: number, maxBinding: number): number =>
  Math.floor((maxBinding - 4 * PART_ALIGNMENT) / (4 * width));

/** Rows of [B, T, D] that fit in a binding together. @throws RuntimeError where not even one does. */
export function batchRuns(batch: number, tokens: number, channels: number, { maxBinding }: DeviceFacts) {
  const bytes = 4 * tokens * channels;
  if (batch * bytes <= maxBinding) return [{ first: 0, rows: batch }];
  const most = rowsPerBinding(tokens * channels, maxBinding);
  if (most < 1) {
    throw new RuntimeError(
      `long_convolution: a sequence of ${tokens} tokens and ${channels} channels takes ${bytes} bytes, ` +
        `this device binds ${maxBinding} at once`,
    );
  }
  return Array.from({ length: Math.ceil(batch / most) }, (_, i) => ({
    first: i * most,
    rows: Math.min(most, batch - i * most),
  }));
}

/** Spectra of one run of channels, and what they are of. */
export interface Blocks {
  readonly batch: number;
  readonly tokens: number;
  readonly channels: number;
  readonly blocks: number;
  readonly run: { readonly first: number; readonly count: number };
}

/** Cuts channels so that the spectra of all rows of a run fit in a binding, and its rows of K too. */
export function blockRuns(batch: number, tokens: number, channels: number, { maxBinding }: DeviceFacts): Blocks[] {
  const blocks = Math.ceil(tokens / MOST_POINTS);
  const spectra = Math.floor(Math.min(MOST_SPECTRA, maxBinding) / (8 * blocks * MOST_POINTS * batch));
  const most = Math.max(1, Math.min(spectra, rowsPerBinding(tokens, maxBinding)));
  return Array.from({ length: Math.ceil(channels / most) }, (_, i) => ({
    ...{ batch, tokens, channels, blocks },
    run: { first: i * most, count: Math.min(most, channels - i * most) },
  }));
}

/** Room for the spectra of `rows` rows. */
export function spectraScratch({ run, blocks }: Blocks, rows: number, emit: Emitter): Scratch {
  return emit.scratch(8 * MOST_POINTS * rows * run.count * blocks);
}

const common = fourierConstants(MOST_POINTS, 1);

interface SpectraOptions {
  /** K, [D, T]: one row. Otherwise [B, T, D]. */
  readonly taps?: boolean;
  readonly reversed?: boolean;
  readonly window?: boolean;
}

/** Transforms every block of `x`. */
export function emitSpectra(x: GpuTensor, into: Scratch, sizes: Blocks, options: SpectraOptions, emit: Emitter): void {
  const { batch, tokens, channels, blocks, run } = sizes;
  const { taps = false, reversed = false, window = false } = options;
  const rows = taps ? [{ first: 0, rows: 1 }] : batchRuns(batch, tokens, channels, emit.device);
  for (const { first, rows: count } of rows) {
    const { bound, before } = taps
      ? rowsOf(x, run.first, run.count, tokens)
      : rowsOf(x, first, count, tokens * channels);
    emit.dispatch({
      kernel: "long_convolution/spectra",
      constants: { ...common, CHANNELS: channels, TAPS: taps, REVERSED: reversed, WINDOW: window },
      uniforms: {
        tokens,
        before,
        first_row: first,
        rows: count,
        blocks,
        channels: run.count,
        first_channel: run.first,
      },
      bindings: { x: read(bound), spectra: write(into, 4) },
      workgroups: spread(run.count * blocks * count),
      reason: `transforms of blocks of ${MOST_POINTS} tokens`,
    });
  }
}

/** Products of spectra, summed and transformed back: y [B, T, D], or [D, T] summed over rows. */
export function emitBlocks(
  { left, right, y }: { readonly left: Scratch; readonly right: Scratch; readonly y: GpuTensor },
  sizes: Blocks,
  { reversed, sumRows }: { readonly reversed: boolean; readonly sumRows: boolean },
  emit: Emitter,
): void {
  const { batch, tokens, channels, blocks, run } = sizes;
  const runs = sumRows ? [{ first: 0, rows: 1 }] : batchRuns(batch, tokens, channels, emit.device);
  for (const { first, rows } of runs) {
    const { bound, before } = sumRows
      ? rowsOf(y, run.first, run.count, tokens)
      : rowsOf(y, first, rows, tokens * channels);
    const dispatch: Dispatch = {
      kernel: "long_convolution/blocks",
      constants: { ...common, CHANNELS: channels, REVERSED: reversed, SUM: sumRows },
      uniforms: {
        ...{ tokens, before, first_row: first, rows, summed_rows: batch, blocks },
        ...{ channels: run.count, first_channel: run.first },
      },
      bindings: { left: read(left, 4), right: read(right, 4), y: write(bound) },
      workgroups: spread(run.count * blocks * rows),
      reason: `sums of products of the spectra of ${blocks} blocks`,
    };
    emit.dispatch(dispatch);
  }
}
