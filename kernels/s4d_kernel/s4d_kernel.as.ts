// s4d_kernel: K[d, 64 b + j] = Σₙ Re(2 C B̄ Ā^(64 b) · Ā^j): per channel a small matrix product of the modes' weights at the
// starts of 64-token blocks (left) and their powers within a block (right), 2 multiply-adds per mode and token. Both tables
// come from float64 powers, so the error does not grow with l. Channels are split over threads.
import { integer, pointer, shareStart } from "../common/args.as";
import { loadLanes, storeLanes } from "../common/lanes.as";
import { expPair } from "../common/math64.as";
import {
  discretisePair, DRIVE_IM, DRIVE_RE, flushTiny, INCREMENT_IM, INCREMENT_RE, loadPair, PAIR, productIm, productRe, storePair,
} from "../common/s4d.as";
import { fma, fnma } from "../common/simd.as";

const BLOCK: i32 = 64;

/** Two rows of 16 columns: out0 = left0 · right, out1 = left1 · right over `depth`; right has rows of 64 floats. */
// @ts-ignore: decorator
@inline
function tile(left0: usize, left1: usize, right: usize, depth: i32, out0: usize, out1: usize, columns: i32): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  const across = left1 - left0;
  const end = left0 + (depth << 2);
  for (let at = left0; at < end; at += 4) {
    const x = v128.load32_splat(at);
    const y = v128.load32_splat(at + across);
    let r = v128.load(right);
    a0 = fma(x, r, a0);
    b0 = fma(y, r, b0);
    r = v128.load(right, 16);
    a1 = fma(x, r, a1);
    b1 = fma(y, r, b1);
    r = v128.load(right, 32);
    a2 = fma(x, r, a2);
    b2 = fma(y, r, b2);
    r = v128.load(right, 48);
    a3 = fma(x, r, a3);
    b3 = fma(y, r, b3);
    right += BLOCK << 2;
  }
  v128.store(out0, a0);
  v128.store(out0, a1, 16);
  v128.store(out0, a2, 32);
  v128.store(out0, a3, 48);
  // The second row is the last one of K, which may be shorter; a row that does not exist has no columns.
  if (columns > 0) storeLanes(out1, b0, columns);
  if (columns > 4) storeLanes(out1 + 16, b1, columns - 4);
  if (columns > 8) storeLanes(out1 + 32, b2, columns - 8);
  if (columns > 12) storeLanes(out1 + 48, b3, columns - 12);
}

/** One row of up to 16 columns. */
// @ts-ignore: decorator
@inline
function lastRow(left: usize, right: usize, depth: i32, out: usize, columns: i32): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  const end = left + (depth << 2);
  for (let at = left; at < end; at += 4) {
    const x = v128.load32_splat(at);
    a0 = fma(x, v128.load(right), a0);
    a1 = fma(x, v128.load(right, 16), a1);
    a2 = fma(x, v128.load(right, 32), a2);
    a3 = fma(x, v128.load(right, 48), a3);
    right += BLOCK << 2;
  }
  storeLanes(out, a0, columns);
  if (columns > 4) storeLanes(out + 16, a1, columns - 4);
  if (columns > 8) storeLanes(out + 32, a2, columns - 8);
  if (columns > 12) storeLanes(out + 48, a3, columns - 12);
}

/** Offsets after a discretised pair: per mode, the powers 0 to 3 of Ā (four real parts, four imaginary), and 4 k for k < 16. */
const BASE: usize = PAIR;
const FACTORS: usize = PAIR + 64;
const HEAD: usize = PAIR + 320;

/** Powers 4 k + 0 … 3 of one mode to a row of real parts and a row of negative imaginary parts. */
function fillRows(base: usize, factors: usize, row: usize, span: i32): void {
  const re = v128.load(base);
  const im = v128.load(base, 16);
  const end = row + (span << 2);
  for (; row < end; row += 16) {
    const x = v128.load32_splat(factors);
    const y = v128.load32_splat(factors, 4);
    v128.store(row, fnma(y, im, f32x4.mul(x, re)));
    v128.store(row + (BLOCK << 2), fnma(y, re, f32x4.neg(f32x4.mul(x, im))));
    factors += 8;
  }
}

/** The powers of a discretised pair of modes within a block, rounded from float64 twice; leaves Ā⁶⁴ as the pair's Ā - 1. */
function fillPowers(pair: usize, row: usize, two: bool, span: i32): void {
  const decayRe = f64x2.add(v128.load(pair, INCREMENT_RE), f64x2.splat(1));
  const decayIm = v128.load(pair, INCREMENT_IM);
  let re = f64x2.splat(1);
  let im = f64x2.splat(0);
  for (let at = pair + BASE; at < pair + BASE + 16; at += 4) {
    storePair(flushTiny(re), at, at + 32);
    storePair(flushTiny(im), at + 16, at + 48);
    const up = productRe(re, im, decayRe, decayIm);
    im = productIm(re, im, decayRe, decayIm);
    re = up;
  }
  const fourthRe = re;
  const fourthIm = im;
  re = f64x2.splat(1);
  im = f64x2.splat(0);
  for (let at = pair + FACTORS; at < pair + FACTORS + 128; at += 8) {
    storePair(flushTiny(re), at, at + 128);
    storePair(flushTiny(im), at + 4, at + 132);
    const up = productRe(re, im, fourthRe, fourthIm);
    im = productIm(re, im, fourthRe, fourthIm);
    re = up;
  }
  v128.store(pair, re, INCREMENT_RE);
  v128.store(pair, im, INCREMENT_IM);
  fillRows(pair + BASE, pair + FACTORS, row, span);
  if (two) fillRows(pair + BASE + 32, pair + FACTORS + 128, row + (BLOCK << 3), span);
}

/** args: log_dt, A_log_real, A_imag, C, K, scratch, scratch bytes per thread, D, modes, T, euler. */
export function s4d_kernel(args: usize, thread: i32, threads: i32): void {
  const logDt = pointer(args, 0);
  const c = pointer(args, 3);
  const kernel = pointer(args, 4);
  const scratch = pointer(args, 5) + <usize>thread * integer(args, 6);
  const channels = integer(args, 7);
  const modes = integer(args, 8);
  const length = integer(args, 9);
  const euler = integer(args, 10) != 0;
  const blocks = (length + BLOCK - 1) / BLOCK;
  const depth = modes << 1;
  const right = scratch + HEAD;
  const left = right + <usize>depth * (BLOCK << 2);
  const leftRow = <usize>depth << 2;
  const span = min(BLOCK, (length + 15) & ~15);
  const end = shareStart(channels, thread + 1, threads);
  for (let d = shareStart(channels, thread, threads); d < end; d++) {
    const first = <usize>d * modes;
    const delta = expPair(loadPair(logDt + (d << 2), logDt + (d << 2)));
    for (let n = 0; n < modes; n += 2) {
      const next = min(n + 1, modes - 1);
      discretisePair(pointer(args, 1) + (first << 2), pointer(args, 2) + (first << 2), n, next, delta, euler, scratch);
      fillPowers(scratch, right + <usize>n * (BLOCK << 3), next > n, span);
      const re = v128.load(scratch, INCREMENT_RE);
      const im = v128.load(scratch, INCREMENT_IM);
      const c0 = c + ((first + n) << 3);
      const c1 = c + ((first + next) << 3);
      const cRe = loadPair(c0, c1);
      const cIm = loadPair(c0 + 4, c1 + 4);
      let weightRe = productRe(cRe, cIm, v128.load(scratch, DRIVE_RE), v128.load(scratch, DRIVE_IM));
      let weightIm = productIm(cRe, cIm, v128.load(scratch, DRIVE_RE), v128.load(scratch, DRIVE_IM));
      weightRe = f64x2.add(weightRe, weightRe);
      weightIm = f64x2.add(weightIm, weightIm);
      let at = left + (<usize>n << 3);
      const side = next > n ? <usize>8 : 0;
      for (let b = 0; b < blocks; b++) {
        storePair(flushTiny(weightRe), at, side ? at + side : 0);
        storePair(flushTiny(weightIm), at + 4, side ? at + 4 + side : 0);
        const up = productRe(weightRe, weightIm, re, im);
        weightIm = productIm(weightRe, weightIm, re, im);
        weightRe = up;
        at += leftRow;
      }
    }
    const row = kernel + ((<usize>d * length) << 2);
    for (let b = 0; b < blocks; b += 2) {
      const out = row + (b << 8);
      const rest = length - b * BLOCK;
      const a = left + <usize>b * leftRow;
      for (let j = 0; j < BLOCK && j < rest; j += 16) {
        const to = out + (j << 2);
        if (b + 1 < blocks) tile(a, a + leftRow, right + (j << 2), depth, to, to + (BLOCK << 2), rest - BLOCK - j);
        else lastRow(a, right + (j << 2), depth, to, rest - j);
      }
    }
  }
}
