// The taps of a depthwise causal convolution of up to 4 taps, and the rows that they reach, for four channels: a shorter
// filter is one of 4 with leading zeros.
import { loadLanes } from "./lanes.as";

/** Channels that are worked on together: one cache line. */
export const LINE: i32 = 16;

/** Tap `k` (0..3, 3 being the current token's) of `lanes` channels, from w [C, taps] at the first channel. */
// @ts-ignore: decorator
@inline
export function tap(w: usize, k: i32, taps: i32, lanes: i32): v128 {
  const at = k - (4 - taps);
  if (at < 0) return f32x4.splat(0);
  const row = w + (at << 2);
  let x = v128.load32_zero(row);
  if (lanes > 1) x = v128.load_lane<u32>(row + (taps << 2), x, 1);
  if (lanes > 2) x = v128.load_lane<u32>(row + (taps << 3), x, 2);
  if (lanes > 3) x = v128.load_lane<u32>(row + taps * 12, x, 3);
  return x;
}

/**
 * Token `t` of four channels, from x [.., C] and past [taps - 1, C] of a batch row, at these channels. Before the past
 * (or where there is none) are zeros.
 */
// @ts-ignore: decorator
@inline
export function rowAt(x: usize, past: usize, t: i32, taps: i32, channels: i32, lanes: i32): v128 {
  if (t >= 0) return loadLanes(x + ((t * channels) << 2), lanes);
  const row = taps - 1 + t;
  if (!past || row < 0) return f32x4.splat(0);
  return loadLanes(past + ((row * channels) << 2), lanes);
}
