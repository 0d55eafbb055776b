// diagonal_scan: the recurrence h <- Ā h + u, y = 2 Re Σₙ C B̄ h of S4D, u, y [B, T, D], h [B, D, modes, 2]. SIMD lanes are modes;
// eight modes of one channel stay in registers for 64 tokens, and y is summed over modes for four channels together.
// Threads split groups of four channels, which they discretise themselves. h is advanced by Ā - 1, not by Ā: rounding Ā
// near 1 to f32 would shift the phase of every step alike.
import { integer, pointer, shareStart } from "../common/args.as";
import { loadLanes, storeLanes } from "../common/lanes.as";
import { cosAt, exp, expm1NonPositive, sinAt } from "../common/math.as";
import { expPair } from "../common/math64.as";
import { loadPair } from "../common/s4d.as";
import { fma, fnma } from "../common/simd.as";

const BLOCK: i32 = 64;
/** Bytes of the coefficients of four modes: Ā - 1 and 2 C B̄, real and imaginary. */
const COEFFICIENTS: usize = 64;

/** `count` floats, which may be 0 or less, or more than 4. */
// @ts-ignore: decorator
@inline
function loadSome(at: usize, count: i32): v128 {
  return count > 0 ? loadLanes(at, count) : f32x4.splat(0);
}

// @ts-ignore: decorator
@inline
function storeSome(at: usize, x: v128, count: i32): void {
  if (count > 0) storeLanes(at, x, count);
}

/** The four f32 of two pairs of f64 lanes. */
// @ts-ignore: decorator
@inline
function narrow(low: v128, high: v128): v128 {
  return i64x2.shuffle(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 2);
}

/**
 * Fills the coefficients of one channel, padded with zeros to a multiple of eight modes. As kernels/common/s4d.as.ts, but in
 * f32 with relative accuracy of Ā - 1: a decoding step does this for every mode, so it must be fast.
 */
function prepare(logDt: usize, logReal: usize, imaginary: usize, c: usize, modes: i32, padded: i32, euler: bool, coefficients: usize): void {
  if (padded - modes >= 4) memory.fill(coefficients + (<usize>(padded - 4) << 4), 0, COEFFICIENTS);
  const wide = expPair(loadPair(logDt, logDt));
  const step = f32x4.splat(<f32>f64x2.extract_lane(wide, 0));
  const halfStep = f64x2.mul(wide, f64x2.splat(0.5));
  for (let n = 0; n < modes; n += 4) {
    const count = modes - n;
    // Beyond e^40 squares overflow, below e^-40 they vanish; such modes are constant or gone already.
    const logRho = f32x4.max(f32x4.min(loadLanes(logReal + (n << 2), count), f32x4.splat(40)), f32x4.splat(-40));
    const rho = exp(logRho);
    const omega = loadLanes(imaginary + (n << 2), count);
    const size = fma(rho, rho, f32x4.mul(omega, omega));
    let stepRe: v128;
    let stepIm: v128;
    let driveRe: v128;
    let driveIm: v128;
    if (euler) {
      driveRe = f32x4.min(step, f32x4.div(rho, size));
      driveIm = f32x4.splat(0);
      stepRe = f32x4.neg(f32x4.mul(driveRe, rho));
      stepIm = f32x4.mul(driveRe, omega);
    } else {
      const grown = expm1NonPositive(f32x4.neg(f32x4.mul(step, rho)));
      // cos y - 1 = -2 sin²(y/2) and sin y = 2 sin(y/2) cos(y/2), with y/2 multiplied out and reduced in f64.
      const low = f64x2.mul(halfStep, f64x2.promote_low_f32x4(omega));
      const high = f64x2.mul(halfStep, f64x2.promote_low_f32x4(i64x2.shuffle(omega, omega, 1, 0)));
      const lowTurns = f64x2.nearest(f64x2.mul(low, f64x2.splat(0.63661977236758134308)));
      const highTurns = f64x2.nearest(f64x2.mul(high, f64x2.splat(0.63661977236758134308)));
      const quarter = f64x2.splat(1.57079632679489661923);
      const rest = narrow(f64x2.sub(low, f64x2.mul(lowTurns, quarter)), f64x2.sub(high, f64x2.mul(highTurns, quarter)));
      const quadrant = i32x4.trunc_sat_f32x4_s(narrow(lowTurns, highTurns));
      const sine = sinAt(rest, quadrant);
      const twice = f32x4.add(sine, sine);
      const fallen = f32x4.neg(f32x4.mul(twice, sine));
      const turned = f32x4.mul(twice, cosAt(rest, quadrant));
      stepRe = fma(grown, f32x4.add(fallen, f32x4.splat(1)), fallen);
      stepIm = fma(grown, turned, turned);
      const inverse = f32x4.div(f32x4.splat(1), size);
      driveRe = f32x4.mul(inverse, f32x4.sub(f32x4.mul(stepIm, omega), f32x4.mul(stepRe, rho)));
      driveIm = f32x4.mul(inverse, f32x4.neg(fma(stepRe, omega, f32x4.mul(stepIm, rho))));
    }
    const x = loadSome(c + (n << 3), count << 1);
    const y = loadSome(c + (n << 3) + 16, (count << 1) - 4);
    const cRe = i32x4.shuffle(x, y, 0, 2, 4, 6);
    const cIm = i32x4.shuffle(x, y, 1, 3, 5, 7);
    const re = fnma(cIm, driveIm, f32x4.mul(cRe, driveRe));
    const im = fma(cIm, driveRe, f32x4.mul(cRe, driveIm));
    const at = coefficients + (n << 4);
    v128.store(at, stepRe);
    v128.store(at, stepIm, 16);
    v128.store(at, f32x4.add(re, re), 32);
    v128.store(at, f32x4.add(im, im), 48);
  }
}

/** Eight modes over `count` tokens; `floats` of their state exist. Adds to `sums`, one vector per token. */
function scanEight(from: usize, state: usize, floats: i32, coefficients: usize, u: usize, sums: usize, count: i32): void {
  let lowRe = f32x4.splat(0);
  let lowIm = lowRe;
  let highRe = lowRe;
  let highIm = lowRe;
  if (from) {
    let x = loadSome(from, floats);
    let y = loadSome(from + 16, floats - 4);
    lowRe = i32x4.shuffle(x, y, 0, 2, 4, 6);
    lowIm = i32x4.shuffle(x, y, 1, 3, 5, 7);
    x = loadSome(from + 32, floats - 8);
    y = loadSome(from + 48, floats - 12);
    highRe = i32x4.shuffle(x, y, 0, 2, 4, 6);
    highIm = i32x4.shuffle(x, y, 1, 3, 5, 7);
  }
  const lowStepRe = v128.load(coefficients);
  const lowStepIm = v128.load(coefficients, 16);
  const highStepRe = v128.load(coefficients, 64);
  const highStepIm = v128.load(coefficients, 80);
  const end = u + (count << 2);
  for (; u < end; u += 4) {
    const input = v128.load32_splat(u);
    const a = fma(lowStepRe, lowRe, lowRe);
    const b = fma(lowStepRe, lowIm, lowIm);
    const c = fma(highStepRe, highRe, highRe);
    const d = fma(highStepRe, highIm, highIm);
    const e = fnma(lowStepIm, lowIm, input);
    const f = fnma(highStepIm, highIm, input);
    lowIm = fma(lowStepIm, lowRe, b);
    highIm = fma(highStepIm, highRe, d);
    lowRe = f32x4.add(a, e);
    highRe = f32x4.add(c, f);
    let sum = fma(v128.load(coefficients, 32), lowRe, v128.load(sums));
    sum = fnma(v128.load(coefficients, 48), lowIm, sum);
    sum = fma(v128.load(coefficients, 96), highRe, sum);
    v128.store(sums, fnma(v128.load(coefficients, 112), highIm, sum));
    sums += 16;
  }
  storeSome(state, i32x4.shuffle(lowRe, lowIm, 0, 4, 1, 5), floats);
  storeSome(state + 16, i32x4.shuffle(lowRe, lowIm, 2, 6, 3, 7), floats - 4);
  storeSome(state + 32, i32x4.shuffle(highRe, highIm, 0, 4, 1, 5), floats - 8);
  storeSome(state + 48, i32x4.shuffle(highRe, highIm, 2, 6, 3, 7), floats - 12);
}

/** Sums the lanes of each channel's vectors and stores four channels per token. */
function storeTokens(sums: usize, y: usize, stride: usize, count: i32, lanes: i32): void {
  for (let t = 0; t < count; t++) {
    const a = v128.load(sums);
    const b = v128.load(sums, 1024);
    const c = v128.load(sums, 2048);
    const d = v128.load(sums, 3072);
    const ab = f32x4.add(i32x4.shuffle(a, b, 0, 4, 1, 5), i32x4.shuffle(a, b, 2, 6, 3, 7));
    const cd = f32x4.add(i32x4.shuffle(c, d, 0, 4, 1, 5), i32x4.shuffle(c, d, 2, 6, 3, 7));
    storeLanes(y, f32x4.add(i64x2.shuffle(ab, cd, 0, 2), i64x2.shuffle(ab, cd, 1, 3)), lanes);
    sums += 16;
    y += stride;
  }
}

/** args: u, log_dt, A_log_real, A_imag, C, h0, y, hT, scratch, scratch bytes per thread, B, T, D, modes, euler. */
export function diagonal_scan(args: usize, thread: i32, threads: i32): void {
  const u = pointer(args, 0);
  const h0 = pointer(args, 5);
  const y = pointer(args, 6);
  const hT = pointer(args, 7);
  const inputs = pointer(args, 8) + <usize>thread * integer(args, 9);
  const batch = integer(args, 10);
  const length = integer(args, 11);
  const channels = integer(args, 12);
  const modes = integer(args, 13);
  const euler = integer(args, 14) != 0;
  const padded = (modes + 7) & ~7;
  const sums = inputs + 1024;
  const coefficients = sums + 4096;
  const own = coefficients + (<usize>padded << 6);
  const stride = <usize>channels << 2;
  const stateBytes = <usize>modes << 3;
  const end = shareStart((channels + 3) >> 2, thread + 1, threads) << 2;
  for (let first = shareStart((channels + 3) >> 2, thread, threads) << 2; first < end; first += 4) {
    const lanes = min(4, channels - first);
    for (let c = 0; c < lanes; c++) {
      const d = first + c;
      const at = (<usize>d * modes) << 2;
      prepare(
        pointer(args, 1) + (d << 2), pointer(args, 2) + at, pointer(args, 3) + at, pointer(args, 4) + 2 * at,
        modes, padded, euler, coefficients + <usize>c * (padded << 4),
      );
    }
    for (let b = 0; b < batch; b++) {
      const offset = (<usize>b * channels + first) * stateBytes;
      const state = hT ? hT + offset : own;
      let from = h0 ? h0 + offset : 0;
      const row = (<usize>b * length * channels + first) << 2;
      for (let t = 0; t < length; t += BLOCK) {
        const count = min(BLOCK, length - t);
        const block = row + <usize>t * stride;
        for (let c = 0; c < lanes; c++) {
          const side = sums + (c << 10);
          const values = inputs + (c << 8);
          memory.fill(side, 0, count << 4);
          let at = u + block + (c << 2);
          for (let i = 0; i < count; i++, at += stride) store<f32>(values + (i << 2), load<f32>(at));
          const mine = coefficients + <usize>c * (padded << 4);
          const skip = <usize>c * stateBytes;
          for (let n = 0; n < modes; n += 8) {
            const place = skip + (n << 3);
            scanEight(from ? from + place : 0, state + place, (modes - n) << 1, mine + (n << 4), values, side, count);
          }
        }
        storeTokens(sums, y + block, stride, count, lanes);
        from = state;
      }
    }
  }
}
