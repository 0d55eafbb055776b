// rope: rotates pairs (j, j + r/2) of each head's first r channels by position · frequency. x [B,T,H,d].
// First one row of r/2 cosines and r/2 sines per position, angles in f64 (a position of 10⁵ times a frequency keeps no
// correct fraction of a turn in f32), then all heads. Threads take rows of the table, then tokens. y may be x.
import { integer, pointer, scalar, shareStart } from "../common/args.as";
import { cosAt, sinAt } from "../common/math.as";
import { fma, fnma } from "../common/simd.as";

const HALF_PI = 1.5707963267948966;

/**
 * Cosines and sines, times `factor`; with `sign` -1 the sines are negated. args: 0 frequencies [half], 1 positions (or 0),
 * 2 table [rows][2 · half], 3 rows, 4 half, 5 tokens, 6 axes of positions (0: row t is at position t; 1: row b·T+t is at
 * positions[b] + t; 2: each row has its own), 7 factor, 8 sign.
 */
export function rope_table(args: usize, thread: i32, threads: i32): void {
  const frequencies = pointer(args, 0);
  const positions = pointer(args, 1);
  const rows = integer(args, 3);
  const half = integer(args, 4);
  const tokens = integer(args, 5);
  const axes = integer(args, 6);
  const cosFactor = f32x4.splat(scalar(args, 7));
  const sinFactor = f32x4.splat(scalar(args, 7) * scalar(args, 8));
  const end = shareStart(rows, thread + 1, threads);
  for (let row = shareStart(rows, thread, threads); row < end; row++) {
    let position: f64 = row % tokens;
    if (axes == 1) position += load<i32>(positions + ((row / tokens) << 2));
    else if (axes > 1) position = load<i32>(positions + (row << 2));
    const place = f64x2.splat(position);
    const cosines = pointer(args, 2) + (<usize>(row * 2 * half) << 2);
    const sines = cosines + (<usize>half << 2);
    // The last four overlap with those before when half is no multiple of 4.
    for (let c = 0; c < half; c += 4) {
      const j = half < 4 ? 0 : min(c, half - 4);
      const f = half < 4 ? loadFew(frequencies, half) : v128.load(frequencies + (j << 2));
      const low = f64x2.mul(place, f64x2.promote_low_f32x4(f));
      const high = f64x2.mul(place, f64x2.promote_low_f32x4(i64x2.shuffle(f, f, 1, 0)));
      const lowTurns = f64x2.nearest(f64x2.mul(low, f64x2.splat(1 / HALF_PI)));
      const highTurns = f64x2.nearest(f64x2.mul(high, f64x2.splat(1 / HALF_PI)));
      const lowRest = f64x2.sub(low, f64x2.mul(lowTurns, f64x2.splat(HALF_PI)));
      const highRest = f64x2.sub(high, f64x2.mul(highTurns, f64x2.splat(HALF_PI)));
      const rest = i64x2.shuffle(f32x4.demote_f64x2_zero(lowRest), f32x4.demote_f64x2_zero(highRest), 0, 2);
      const quadrant = i64x2.shuffle(
        i32x4.trunc_sat_f64x2_s_zero(lowTurns),
        i32x4.trunc_sat_f64x2_s_zero(highTurns),
        0,
        2,
      );
      storeFew(cosines + (j << 2), f32x4.mul(cosFactor, cosAt(rest, quadrant)), half);
      storeFew(sines + (j << 2), f32x4.mul(sinFactor, sinAt(rest, quadrant)), half);
    }
  }
}

/** Fewer than four floats. */
function loadFew(from: usize, count: i32): v128 {
  let x = v128.load32_zero(from);
  if (count > 1) x = v128.load32_lane(from + 4, x, 1);
  if (count > 2) x = v128.load32_lane(from + 8, x, 2);
  return x;
}

/** Four floats, or `count` if fewer. */
// @ts-ignore: decorator
@inline
function storeFew(to: usize, x: v128, count: i32): void {
  if (count >= 4) {
    v128.store(to, x);
    return;
  }
  v128.store32_lane(to, x, 0);
  if (count > 1) v128.store32_lane(to + 4, x, 1);
  if (count > 2) v128.store32_lane(to + 8, x, 2);
}

/** args: 0 x, 1 table, 2 y, 3 B·T, 4 rows of the table (T or B·T), 5 heads, 6 d, 7 half. */
export function rope(args: usize, thread: i32, threads: i32): void {
  const x = pointer(args, 0);
  const table = pointer(args, 1);
  const y = pointer(args, 2);
  const count = integer(args, 3);
  const rows = integer(args, 4);
  const heads = integer(args, 5);
  const d = integer(args, 6);
  const half = integer(args, 7);
  const headBytes = <usize>d << 2;
  const halfBytes = <usize>half << 2;
  const whole = <usize>(half & ~3) << 2;
  const end = shareStart(count, thread + 1, threads);
  for (let token = shareStart(count, thread, threads); token < end; token++) {
    const cosines = table + <usize>(token % rows) * (halfBytes << 1);
    const sines = cosines + halfBytes;
    let from = x + <usize>(token * heads) * headBytes;
    let to = y + <usize>(token * heads) * headBytes;
    for (let h = 0; h < heads; h++) {
      let at: usize = 0;
      for (; at < whole; at += 16) {
        const a = v128.load(from + at);
        const b = v128.load(from + at + halfBytes);
        const c = v128.load(cosines + at);
        const s = v128.load(sines + at);
        v128.store(to + at, fnma(b, s, f32x4.mul(a, c)));
        v128.store(to + at + halfBytes, fma(a, s, f32x4.mul(b, c)));
      }
      for (; at < halfBytes; at += 4) {
        const a = load<f32>(from + at);
        const b = load<f32>(from + at + halfBytes);
        const c = load<f32>(cosines + at);
        const s = load<f32>(sines + at);
        store<f32>(to + at, a * c - b * s);
        store<f32>(to + at + halfBytes, b * c + a * s);
      }
      if (to != from) memory.copy(to + (halfBytes << 1), from + (halfBytes << 1), headBytes - (halfBytes << 1));
      from += headBytes;
      to += headBytes;
    }
  }
}
