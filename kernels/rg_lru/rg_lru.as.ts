// rg_lru: h = a h + m x, m = sqrt(1 - a²), or 1 at position 0; x, log_a, y [B, T, D], h [B, D]. Threads share pairs of a batch row and a line of
// 16 channels, which they walk in blocks of tokens, four channels at a time, so that whole cache lines are used while they are there.
// rg_lru_gradient: the same backwards.
import { integer, optional, pointer, scalar, shareStart } from "../common/args.as";
import { loadLanes, storeLanes } from "../common/lanes.as";
import { expNonPositive, expm1NonPositive } from "../common/math.as";
import { fma, fnma } from "../common/simd.as";

const LINE: i32 = 16;
const BLOCK: i32 = 32;

/** m = sqrt(1 - a²), by e^2l - 1, which is accurate where a is near 1. */
// @ts-ignore: decorator
@inline
function factorOf(logA: v128): v128 {
  return f32x4.sqrt(f32x4.neg(expm1NonPositive(f32x4.add(logA, logA))));
}

/** `count` tokens of up to four channels; returns h after them. m is 1 at the first token where `first`. */
function walk(x: usize, logA: usize, y: usize, h: v128, count: i32, stride: usize, lanes: i32, first: bool): v128 {
  for (let t = 0; t < count; t++) {
    const l = loadLanes(logA, lanes);
    const factor = first && t == 0 ? f32x4.splat(1) : factorOf(l);
    h = fma(expNonPositive(l), h, f32x4.mul(factor, loadLanes(x, lanes)));
    storeLanes(y, h, lanes);
    x += stride;
    logA += stride;
    y += stride;
  }
  return h;
}

/** args: x, log_a, position, h0, y, hT, B, T, D. */
export function rg_lru(args: usize, thread: i32, threads: i32): void {
  const position = pointer(args, 2);
  const tokens = integer(args, 7);
  const channels = integer(args, 8);
  const lines = (channels + LINE - 1) / LINE;
  const stride = <usize>channels << 2;
  const count = integer(args, 6) * lines;
  const end = shareStart(count, thread + 1, threads);
  for (let item = shareStart(count, thread, threads); item < end; item++) {
    const row = item / lines;
    const begin = (item % lines) * LINE;
    const starts = position == 0 || load<i32>(position + (row << 2)) == 0;
    const sequence = <usize>row * tokens * stride;
    const state = <usize>row * stride;
    for (let t = 0; t < tokens; t += BLOCK) {
      const size = min(BLOCK, tokens - t);
      for (let c = begin; c < min(channels, begin + LINE); c += 4) {
        const lanes = min(4, channels - c);
        const at = sequence + <usize>t * stride + (<usize>c << 2);
        const before = t > 0 ? pointer(args, 4) + at - stride : optional(pointer(args, 3), state + (<usize>c << 2));
        const h = walk(
          pointer(args, 0) + at, pointer(args, 1) + at, pointer(args, 4) + at,
          before ? loadLanes(before, lanes) : f32x4.splat(0), size, stride, lanes, t == 0 && starts,
        );
        if (t + size == tokens && pointer(args, 5)) storeLanes(pointer(args, 5) + state + (<usize>c << 2), h, lanes);
      }
    }
  }
}

/** args: x, log_a, position, h0, y, dy, dhT, dx, dlog_a, dh0, scratch (64 bytes per thread), B, T, D, smallest m. */
export function rg_lru_gradient(args: usize, thread: i32, threads: i32): void {
  const position = pointer(args, 2);
  const carried = pointer(args, 10) + (<usize>thread << 6);
  const tokens = integer(args, 12);
  const channels = integer(args, 13);
  const smallest = f32x4.splat(scalar(args, 14));
  const lines = (channels + LINE - 1) / LINE;
  const stride = <usize>channels << 2;
  const count = integer(args, 11) * lines;
  const end = shareStart(count, thread + 1, threads);
  for (let item = shareStart(count, thread, threads); item < end; item++) {
    const row = item / lines;
    const begin = (item % lines) * LINE;
    const starts = position == 0 || load<i32>(position + (row << 2)) == 0;
    const state = <usize>row * stride + (<usize>begin << 2);
    for (let c = 0; c < min(LINE, channels - begin); c += 4) {
      const from = optional(pointer(args, 6), state + (<usize>c << 2));
      v128.store(carried + (<usize>c << 2), from ? loadLanes(from, min(4, channels - begin - c)) : f32x4.splat(0));
    }
    for (let last = tokens; last > 0; last -= BLOCK) {
      const first = max(0, last - BLOCK);
      for (let c = begin; c < min(channels, begin + LINE); c += 4) {
        const lanes = min(4, channels - c);
        const slot = carried + (<usize>(c - begin) << 2);
        let dh = v128.load(slot);
        for (let t = last - 1; t >= first; t--) {
          const at = (<usize>row * tokens + t) * stride + (<usize>c << 2);
          const l = loadLanes(pointer(args, 1) + at, lanes);
          const a = expNonPositive(l);
          const before = t > 0 ? pointer(args, 4) + at - stride : optional(pointer(args, 3), <usize>row * stride + (<usize>c << 2));
          const previous = before ? loadLanes(before, lanes) : f32x4.splat(0);
          if (pointer(args, 5)) dh = f32x4.add(dh, loadLanes(pointer(args, 5) + at, lanes));
          let factor = f32x4.splat(1);
          let inner = f32x4.mul(a, previous);
          if (t > 0 || !starts) {
            factor = factorOf(l);
            const slope = f32x4.div(f32x4.mul(a, a), f32x4.max(factor, smallest));
            inner = fnma(slope, loadLanes(pointer(args, 0) + at, lanes), inner);
          }
          if (pointer(args, 7)) storeLanes(pointer(args, 7) + at, f32x4.mul(factor, dh), lanes);
          if (pointer(args, 8)) storeLanes(pointer(args, 8) + at, f32x4.mul(dh, inner), lanes);
          dh = f32x4.mul(a, dh);
        }
        v128.store(slot, dh);
        if (first == 0 && pointer(args, 9)) storeLanes(pointer(args, 9) + <usize>row * stride + (<usize>c << 2), dh, lanes);
      }
    }
  }
}
