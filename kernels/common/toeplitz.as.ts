// Products with a Toeplitz matrix written out, four channels at once, eight results per pass: convolution and correlation of
// short sequences. `taps` are a sequence of vectors, with eight zero vectors before it and eight that may be anything
// after them.
import { loadLanes } from "./lanes.as";
import { fma } from "./simd.as";

export const PADDING: usize = 128;

/**
 * Stores out[i] = sum over s < count of x[s] · taps[t + i - s] for i < 8, at `out`; taps before 0 are zeros. x are rows `stride`
 * bytes apart of which `lanes` channels exist. (Loading x by lanes costs nothing: the loop is faster with this branch in it,
 * which keeps V8 from moving all loads to its start, where they don't fit its registers.)
 */
export function convolveEight(x: usize, stride: usize, lanes: i32, taps: usize, t: i32, count: i32, out: usize): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let a4 = a0;
  let a5 = a0;
  let a6 = a0;
  let a7 = a0;
  let tap = taps + (<usize>t << 4);
  for (let s = min(t + 8, count); s > 0; s--) {
    const value = loadLanes(x, lanes);
    a0 = fma(value, v128.load(tap), a0);
    a1 = fma(value, v128.load(tap, 16), a1);
    a2 = fma(value, v128.load(tap, 32), a2);
    a3 = fma(value, v128.load(tap, 48), a3);
    a4 = fma(value, v128.load(tap, 64), a4);
    a5 = fma(value, v128.load(tap, 80), a5);
    a6 = fma(value, v128.load(tap, 96), a6);
    a7 = fma(value, v128.load(tap, 112), a7);
    x += stride;
    tap -= 16;
  }
  v128.store(out, a0);
  v128.store(out, a1, 16);
  v128.store(out, a2, 32);
  v128.store(out, a3, 48);
  v128.store(out, a4, 64);
  v128.store(out, a5, 80);
  v128.store(out, a6, 96);
  v128.store(out, a7, 112);
}

/** Stores out[i] = sum over t in [s + i, count) of x[t] · taps[t - s - i] for i < 8, at `out`. */
export function correlateEight(x: usize, taps: usize, s: i32, count: i32, out: usize): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let a4 = a0;
  let a5 = a0;
  let a6 = a0;
  let a7 = a0;
  x += <usize>s << 4;
  let tap = taps - 112;
  for (let t = s; t < count; t++) {
    const value = v128.load(x);
    a0 = fma(value, v128.load(tap, 112), a0);
    a1 = fma(value, v128.load(tap, 96), a1);
    a2 = fma(value, v128.load(tap, 80), a2);
    a3 = fma(value, v128.load(tap, 64), a3);
    a4 = fma(value, v128.load(tap, 48), a4);
    a5 = fma(value, v128.load(tap, 32), a5);
    a6 = fma(value, v128.load(tap, 16), a6);
    a7 = fma(value, v128.load(tap), a7);
    x += 16;
    tap += 16;
  }
  v128.store(out, a0);
  v128.store(out, a1, 16);
  v128.store(out, a2, 32);
  v128.store(out, a3, 48);
  v128.store(out, a4, 64);
  v128.store(out, a5, 80);
  v128.store(out, a6, 96);
  v128.store(out, a7, 112);
}
