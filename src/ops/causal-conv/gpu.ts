// How the GPU kernels of causal_conv and its gradient share work out: tokens a thread, and pieces where a binding is too small.

import type { GpuTensor } from "../../runtime/webgpu/lowering.ts";
import { type Binding, type DeviceFacts, PART_ALIGNMENT } from "../../runtime/webgpu/lowering.ts";
import { type View, viewOf } from "../selective-scan/gpu.ts";
import { required } from "../types.ts";

export interface ConvSizes {
  readonly batch: number;
  readonly tokens: number;
  readonly channels: number;
  readonly taps: number;
}

export function convSizes(x: GpuTensor | undefined, w: GpuTensor | undefined): ConvSizes {
  const [batch = 0, tokens = 0, channels = 0] = required(x, "causal_conv x").shape;
  return { batch, tokens, channels, taps: required(w, "causal_conv w").shape[1] ?? 0 };
}

/** All tokens of some batch rows, or some of one, with the tokens of x before and behind them that the kernels look at. */
export interface Piece {
  readonly row: number;
  readonly rows: number;
  readonly token: number;
  readonly tokens: number;
  readonly before: number;
  readonly after: number;
}

export function piecesOf({ batch, tokens, channels, taps }: ConvSizes, { maxBinding }: DeviceFacts): Piece[] {
  const most = maxBinding / 4 - PART_ALIGNMENT;
  const rows = Math.min(batch, Math.max(1, Math.floor(most / (Math.max(tokens, taps + 1) * channels))));
  const whole = tokens * channels <= most;
  const length = whole ? tokens : Math.max(taps, Math.floor(most / channels) - 2 * taps);
  const pieces: Piece[] = [];
  for (let row = 0; row < batch; row += rows) {
    for (let token = 0; token < tokens; token += length) {
      const end = Math.min(tokens, token + length);
      pieces.push({
        ...{ row, rows: Math.min(rows, batch - row), token, tokens: end - token },
        before: Math.min(token, taps - 1),
        after: Math.min(tokens - end, taps - 1),
      });
    }
  }
  return pieces;
}

/** Views of a piece: of [B,T,C] with some tokens more, and of [B,K-1,C]. */
export function pieceViews({ tokens, channels, taps }: ConvSizes, piece: Piece) {
  const { row, rows, token } = piece;
  return {
    sequence(tensor: GpuTensor | undefined, before: number, after: number): View | undefined {
      const length = rows * (piece.tokens + before + after) * channels;
      return viewOf(tensor, (row * tokens + token - before) * channels, length);
    },
    window: (tensor: GpuTensor | undefined): View | undefined =>
      taps > 1 ? viewOf(tensor, row * (taps - 1) * channels, rows * (taps - 1) * channels) : undefined,
  };
}

export const bindingOf = (view: View | undefined, access: Binding["access"], width: 1 | 4): Binding | undefined =>
  view && { tensor: view.bound, access, width };

/** Tokens a thread: many share what its taps cost, as long as threads suffice. */
export function runLength(threadsOfOne: number, least: number, most: number): number {
  let run = most;
  while (run > least && threadsOfOne < ENOUGH_THREADS * run) run /= 2;
  return Math.max(run, least);
}

const ENOUGH_THREADS = 1 << 14;
