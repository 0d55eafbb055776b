// s4d_kernel_gradient: per channel, the sums G[b] = Σⱼ dK[64 b + j] · (Āʲ, j Āʲ⁻¹) of every mode as a small matrix product in
// f32, then Σ over blocks and the chain rule through the discretisation in float64. Channels are split over threads.
import { integer, pointer, shareStart } from "../common/args.as";
import { expPair } from "../common/math64.as";
import {
  discretisePair, DRIVE_IM, DRIVE_RE, flushTiny, INCREMENT_IM, INCREMENT_RE, LIMITED, loadPair, PAIR, productIm, productRe,
  RATE_IM, RATE_RE, STEP, storePair,
} from "../common/s4d.as";
import { fma } from "../common/simd.as";

const BLOCK: i32 = 64;
/** Offsets after a discretised pair: Ā⁶⁴, its derivative, S₀ and S₁. */
const POWER_RE: usize = PAIR;
const POWER_IM: usize = PAIR + 16;
const DERIVATIVE_RE: usize = PAIR + 32;
const DERIVATIVE_IM: usize = PAIR + 48;
const S0_RE: usize = PAIR + 64;
const S0_IM: usize = PAIR + 80;
const S1_RE: usize = PAIR + 96;
const S1_IM: usize = PAIR + 112;

/** Per mode of a pair: (power, derivative) 4 k of Ā for k < 16, then those for 0 to 3 as needed for products of them. */
const FACTORS: usize = PAIR + 128;
const BASE: usize = FACTORS + 512;
const HEAD: usize = BASE + 512;

/** The lanes of two f64 pairs as f32: (re of the first mode, im of it, re of the second, im of it). */
// @ts-ignore: decorator
@inline
function interleave(re: v128, im: v128): v128 {
  const x = f32x4.demote_f64x2_zero(flushTiny(re));
  return i32x4.shuffle(x, f32x4.demote_f64x2_zero(flushTiny(im)), 0, 4, 1, 5);
}

/**
 * Columns (re λ^l, im λ^l, re l λ^(l-1), im l λ^(l-1)) of 64 rows for one mode, from (λ^a, a λ^(a-1)) at multiples a of 4 and at
 * b = 0 … 3: λ^(a+b) = λ^a λ^b and its derivative by the product rule.
 */
function fillColumn(factors: usize, base: usize, column: usize, rowBytes: usize): void {
  const end = factors + 256;
  for (; factors < end; factors += 16) {
    const pRe = v128.load32_splat(factors);
    const pIm = v128.load32_splat(factors, 4);
    const dRe = v128.load32_splat(factors, 8);
    const dIm = v128.load32_splat(factors, 12);
    for (let b = base; b < base + 256; b += 64) {
      let x = f32x4.mul(pRe, v128.load(b));
      x = fma(pIm, v128.load(b, 16), x);
      x = fma(dRe, v128.load(b, 32), x);
      v128.store(column, fma(dIm, v128.load(b, 48), x));
      column += rowBytes;
    }
  }
}

/** From (re, im, dRe, dIm) of λ^b: the four vectors with which `fillColumn` multiplies, at `base`. */
function spread(x: v128, base: usize): void {
  const zero = f32x4.splat(0);
  const turned = v128.xor(i32x4.shuffle(x, x, 1, 0, 3, 2), i32x4(<i32>0x80000000, 0, <i32>0x80000000, 0));
  v128.store(base, x);
  v128.store(base, turned, 16);
  v128.store(base, i64x2.shuffle(zero, x, 0, 2), 32);
  v128.store(base, i64x2.shuffle(zero, turned, 0, 2), 48);
}

/** Powers and derivatives of a discretised pair of modes. */
function fillPowers(pair: usize, column: usize, two: bool, rowBytes: usize): void {
  const decayRe = f64x2.add(v128.load(pair, INCREMENT_RE), f64x2.splat(1));
  const decayIm = v128.load(pair, INCREMENT_IM);
  let re = f64x2.splat(1);
  let im = f64x2.splat(0);
  let dRe = im;
  let dIm = im;
  for (let at = pair + BASE; at < pair + BASE + 256; at += 64) {
    const powers = interleave(re, im);
    const derivatives = interleave(dRe, dIm);
    spread(i64x2.shuffle(powers, derivatives, 0, 2), at);
    spread(i64x2.shuffle(powers, derivatives, 1, 3), at + 256);
    const next = f64x2.add(productRe(dRe, dIm, decayRe, decayIm), re);
    dIm = f64x2.add(productIm(dRe, dIm, decayRe, decayIm), im);
    dRe = next;
    const up = productRe(re, im, decayRe, decayIm);
    im = productIm(re, im, decayRe, decayIm);
    re = up;
  }
  const fourthRe = re;
  const fourthIm = im;
  const slopeRe = dRe;
  const slopeIm = dIm;
  re = f64x2.splat(1);
  im = f64x2.splat(0);
  dRe = im;
  dIm = im;
  for (let at = pair + FACTORS; at < pair + FACTORS + 256; at += 16) {
    const powers = interleave(re, im);
    const derivatives = interleave(dRe, dIm);
    v128.store(at, i64x2.shuffle(powers, derivatives, 0, 2));
    v128.store(at, i64x2.shuffle(powers, derivatives, 1, 3), 256);
    const next = f64x2.add(productRe(dRe, dIm, fourthRe, fourthIm), productRe(re, im, slopeRe, slopeIm));
    dIm = f64x2.add(productIm(dRe, dIm, fourthRe, fourthIm), productIm(re, im, slopeRe, slopeIm));
    dRe = next;
    const up = productRe(re, im, fourthRe, fourthIm);
    im = productIm(re, im, fourthRe, fourthIm);
    re = up;
  }
  fillColumn(pair + FACTORS, pair + BASE, column, rowBytes);
  if (two) fillColumn(pair + FACTORS + 256, pair + BASE + 256, column + 16, rowBytes);
}

/** One row of the product: out[0 .. columns) = Σⱼ upstream[j] · powers[j], columns a multiple of 4. */
function sumRow(upstream: usize, powers: usize, columns: i32, out: usize): void {
  const rowBytes = <usize>columns << 2;
  const end = upstream + (BLOCK << 2);
  let column = 0;
  for (; column + 32 <= columns; column += 32) {
    let a0 = f32x4.splat(0);
    let a1 = a0;
    let a2 = a0;
    let a3 = a0;
    let a4 = a0;
    let a5 = a0;
    let a6 = a0;
    let a7 = a0;
    let row = powers + (column << 2);
    for (let at = upstream; at < end; at += 4) {
      const x = v128.load32_splat(at);
      a0 = fma(x, v128.load(row), a0);
      a1 = fma(x, v128.load(row, 16), a1);
      a2 = fma(x, v128.load(row, 32), a2);
      a3 = fma(x, v128.load(row, 48), a3);
      a4 = fma(x, v128.load(row, 64), a4);
      a5 = fma(x, v128.load(row, 80), a5);
      a6 = fma(x, v128.load(row, 96), a6);
      a7 = fma(x, v128.load(row, 112), a7);
      row += rowBytes;
    }
    const to = out + (column << 2);
    v128.store(to, a0);
    v128.store(to, a1, 16);
    v128.store(to, a2, 32);
    v128.store(to, a3, 48);
    v128.store(to, a4, 64);
    v128.store(to, a5, 80);
    v128.store(to, a6, 96);
    v128.store(to, a7, 112);
  }
  for (; column < columns; column += 4) {
    let a = f32x4.splat(0);
    let row = powers + (column << 2);
    for (let at = upstream; at < end; at += 4) {
      a = fma(v128.load32_splat(at), v128.load(row), a);
      row += rowBytes;
    }
    v128.store(out + (column << 2), a);
  }
}

/** Called through the table, so that it is not inlined into the large kernel, where V8 would spill its accumulators. */
let sumRowApart: (upstream: usize, powers: usize, columns: i32, out: usize) => void = sumRow;

/** S₀ = Σ_b Λᵇ G₀[b] and S₁ = Σ_b Λᵇ G₁[b] + (Λᵇ)' G₀[b], where Λ = Ā⁶⁴ and ' is the derivative with respect to Ā. */
function sumBlocks(pair: usize, sums: usize, other: usize, rowBytes: usize, blocks: i32): void {
  const powerRe = v128.load(pair, POWER_RE);
  const powerIm = v128.load(pair, POWER_IM);
  const derivativeRe = v128.load(pair, DERIVATIVE_RE);
  const derivativeIm = v128.load(pair, DERIVATIVE_IM);
  let re = f64x2.splat(1);
  let im = f64x2.splat(0);
  let dRe = im;
  let dIm = im;
  let s0Re = im;
  let s0Im = im;
  let s1Re = im;
  let s1Im = im;
  for (let b = 0; b < blocks; b++) {
    const g0Re = loadPair(sums, sums + other);
    const g0Im = loadPair(sums + 4, sums + 4 + other);
    const g1Re = loadPair(sums + 8, sums + 8 + other);
    const g1Im = loadPair(sums + 12, sums + 12 + other);
    s0Re = f64x2.add(s0Re, productRe(re, im, g0Re, g0Im));
    s0Im = f64x2.add(s0Im, productIm(re, im, g0Re, g0Im));
    s1Re = f64x2.add(s1Re, f64x2.add(productRe(re, im, g1Re, g1Im), productRe(dRe, dIm, g0Re, g0Im)));
    s1Im = f64x2.add(s1Im, f64x2.add(productIm(re, im, g1Re, g1Im), productIm(dRe, dIm, g0Re, g0Im)));
    const nextRe = f64x2.add(productRe(dRe, dIm, powerRe, powerIm), productRe(re, im, derivativeRe, derivativeIm));
    dIm = f64x2.add(productIm(dRe, dIm, powerRe, powerIm), productIm(re, im, derivativeRe, derivativeIm));
    dRe = nextRe;
    const up = productRe(re, im, powerRe, powerIm);
    im = productIm(re, im, powerRe, powerIm);
    re = up;
    sums += rowBytes;
  }
  v128.store(pair, s0Re, S0_RE);
  v128.store(pair, s0Im, S0_IM);
  v128.store(pair, s1Re, S1_RE);
  v128.store(pair, s1Im, S1_IM);
}

/**
 * args: log_dt, A_log_real, A_imag, C, dK, then their gradients (0: not wanted), scratch, scratch bytes per thread, D, modes,
 * T, euler.
 */
export function s4d_kernel_gradient(args: usize, thread: i32, threads: i32): void {
  const logDt = pointer(args, 0);
  const c = pointer(args, 3);
  const upstream = pointer(args, 4);
  const dLogDt = pointer(args, 5);
  const dLogReal = pointer(args, 6);
  const dImaginary = pointer(args, 7);
  const dC = pointer(args, 8);
  const pair = pointer(args, 9) + <usize>thread * integer(args, 10);
  const channels = integer(args, 11);
  const modes = integer(args, 12);
  const length = integer(args, 13);
  const euler = integer(args, 14) != 0;
  const blocks = (length + BLOCK - 1) / BLOCK;
  const columns = modes << 2;
  const rowBytes = <usize>columns << 2;
  const padded = pair + HEAD;
  const powers = padded + (<usize>blocks << 8);
  const sums = powers + rowBytes * BLOCK;
  const kept = sums + <usize>blocks * rowBytes;
  const one = f64x2.splat(1);
  const end = shareStart(channels, thread + 1, threads);
  for (let d = shareStart(channels, thread, threads); d < end; d++) {
    const first = <usize>d * modes;
    const delta = expPair(loadPair(logDt + (d << 2), logDt + (d << 2)));
    memory.copy(padded, upstream + ((<usize>d * length) << 2), length << 2);
    memory.fill(padded + (length << 2), 0, (blocks * BLOCK - length) << 2);
    for (let n = 0; n < modes; n += 2) {
      const next = min(n + 1, modes - 1);
      discretisePair(pointer(args, 1) + (first << 2), pointer(args, 2) + (first << 2), n, next, delta, euler, pair);
      memory.copy(kept + <usize>(n >> 1) * PAIR, pair, PAIR);
      fillPowers(pair, powers + (<usize>n << 4), next > n, rowBytes);
    }
    for (let b = 0; b < blocks; b++) sumRowApart(padded + (b << 8), powers, columns, sums + <usize>b * rowBytes);
    let dDelta: f64 = 0;
    for (let n = 0; n < modes; n += 2) {
      const next = min(n + 1, modes - 1);
      memory.copy(pair, kept + <usize>(n >> 1) * PAIR, PAIR);
      // Ā⁶⁴ and its derivative, by squaring six times: (x², 2 x x').
      let re = f64x2.add(v128.load(pair, INCREMENT_RE), one);
      let im = v128.load(pair, INCREMENT_IM);
      const decayRe = re;
      const decayIm = im;
      let dRe = one;
      let dIm = f64x2.splat(0);
      for (let k = 0; k < 6; k++) {
        const nextRe = productRe(re, im, dRe, dIm);
        dIm = productIm(re, im, dRe, dIm);
        dIm = f64x2.add(dIm, dIm);
        dRe = f64x2.add(nextRe, nextRe);
        const up = productRe(re, im, re, im);
        im = productIm(re, im, re, im);
        re = up;
      }
      v128.store(pair, re, POWER_RE);
      v128.store(pair, im, POWER_IM);
      v128.store(pair, dRe, DERIVATIVE_RE);
      v128.store(pair, dIm, DERIVATIVE_IM);
      sumBlocks(pair, sums + (<usize>n << 4), next > n ? 16 : 0, rowBytes, blocks);

      const rateRe = v128.load(pair, RATE_RE);
      const rateIm = v128.load(pair, RATE_IM);
      const driveRe = v128.load(pair, DRIVE_RE);
      const driveIm = v128.load(pair, DRIVE_IM);
      const step = v128.load(pair, STEP);
      // Gradients of C B̄ (2 S₀), of C, of B̄ and of Ā (2 C B̄ S₁).
      const weightRe = f64x2.add(v128.load(pair, S0_RE), v128.load(pair, S0_RE));
      const weightIm = f64x2.add(v128.load(pair, S0_IM), v128.load(pair, S0_IM));
      const c0 = (first + n) << 3;
      const c1 = (first + next) << 3;
      const second = next > n;
      if (dC) {
        storePair(productRe(weightRe, weightIm, driveRe, driveIm), dC + c0, second ? dC + c1 : 0);
        storePair(f64x2.neg(productIm(weightRe, weightIm, driveRe, driveIm)), dC + c0 + 4, second ? dC + c1 + 4 : 0);
      }
      const cRe = loadPair(c + c0, c + c1);
      const cIm = loadPair(c + c0 + 4, c + c1 + 4);
      const ofDriveRe = productRe(weightRe, weightIm, cRe, cIm);
      const ofDriveIm = productIm(weightRe, weightIm, cRe, cIm);
      const outRe = productRe(cRe, cIm, driveRe, driveIm);
      const outIm = productIm(cRe, cIm, driveRe, driveIm);
      let ofDecayRe = productRe(outRe, outIm, v128.load(pair, S1_RE), v128.load(pair, S1_IM));
      let ofDecayIm = productIm(outRe, outIm, v128.load(pair, S1_RE), v128.load(pair, S1_IM));
      ofDecayRe = f64x2.add(ofDecayRe, ofDecayRe);
      ofDecayIm = f64x2.add(ofDecayIm, ofDecayIm);
      const size = f64x2.add(f64x2.mul(rateRe, rateRe), f64x2.mul(rateIm, rateIm));
      let ofRateRe: v128;
      let ofRateIm: v128;
      let ofDelta: v128;
      if (euler) {
        const ofStep = f64x2.add(productRe(ofDecayRe, ofDecayIm, rateRe, rateIm), ofDriveRe);
        const limited = v128.load(pair, LIMITED);
        // Where Δ is limited to -Re A / |A|², its gradient goes to A.
        const slope = v128.and(limited, f64x2.div(f64x2.div(ofStep, size), size));
        const difference = f64x2.sub(f64x2.mul(rateRe, rateRe), f64x2.mul(rateIm, rateIm));
        const product = f64x2.mul(f64x2.mul(rateRe, rateIm), f64x2.splat(2));
        ofRateRe = f64x2.add(f64x2.mul(ofDecayRe, step), f64x2.mul(slope, difference));
        ofRateIm = f64x2.sub(f64x2.mul(ofDecayIm, step), f64x2.mul(slope, product));
        ofDelta = v128.andnot(f64x2.mul(ofStep, step), limited);
      } else {
        // dĀ = Ā (A dΔ + Δ dA); dB̄ = (dĀ - B̄ dA) / A.
        const drivenRe = f64x2.div(productRe(ofDriveRe, ofDriveIm, rateRe, f64x2.neg(rateIm)), size);
        const drivenIm = f64x2.div(productIm(ofDriveRe, ofDriveIm, rateRe, f64x2.neg(rateIm)), size);
        ofDecayRe = f64x2.add(ofDecayRe, drivenRe);
        ofDecayIm = f64x2.add(ofDecayIm, drivenIm);
        const totalRe = productRe(ofDecayRe, ofDecayIm, decayRe, decayIm);
        const totalIm = productIm(ofDecayRe, ofDecayIm, decayRe, decayIm);
        ofRateRe = f64x2.sub(f64x2.mul(totalRe, step), productRe(drivenRe, drivenIm, driveRe, driveIm));
        ofRateIm = f64x2.sub(f64x2.mul(totalIm, step), productIm(drivenRe, drivenIm, driveRe, driveIm));
        ofDelta = f64x2.mul(productRe(totalRe, totalIm, rateRe, rateIm), step);
      }
      const real = f64x2.mul(ofRateRe, rateRe);
      if (dLogReal) storePair(real, dLogReal + ((first + n) << 2), second ? dLogReal + ((first + next) << 2) : 0);
      const imaginary = f64x2.neg(ofRateIm);
      if (dImaginary) storePair(imaginary, dImaginary + ((first + n) << 2), second ? dImaginary + ((first + next) << 2) : 0);
      dDelta += f64x2.extract_lane(ofDelta, 0);
      if (second) dDelta += f64x2.extract_lane(ofDelta, 1);
    }
    if (dLogDt) store<f32>(dLogDt + (d << 2), <f32>dDelta);
  }
}
