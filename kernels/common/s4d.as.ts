// Discretisation of S4D's modes, two at a time in float64 lanes (src/ops/s4d-kernel/parameters.ts has the equations), and
// arithmetic on pairs of complex numbers.
import { expm1Pair, expPair, sinCosPair } from "./math64.as";

/** Offsets of what `discretisePair` stores, two doubles each. */
export const RATE_RE: usize = 0;
export const RATE_IM: usize = 16;
/** Ā - 1. */
export const INCREMENT_RE: usize = 32;
export const INCREMENT_IM: usize = 48;
export const DRIVE_RE: usize = 64;
export const DRIVE_IM: usize = 80;
/** Δ, for `euler` after its limit. */
export const STEP: usize = 96;
/** All ones where `euler` limited Δ. */
export const LIMITED: usize = 112;
/** Bytes of one discretised pair, with room for intermediate results. */
export const PAIR: usize = 192;

/** The f32 at `first` and at `second`, as doubles. */
// @ts-ignore: decorator
@inline
export function loadPair(first: usize, second: usize): v128 {
  return f64x2.promote_low_f32x4(v128.load32_lane(second, v128.load32_zero(first), 1));
}

/** The first lane as f32 to `first`, the second to `second` unless that is 0. */
// @ts-ignore: decorator
@inline
export function storePair(x: v128, first: usize, second: usize): void {
  const narrow = f32x4.demote_f64x2_zero(x);
  v128.store32_lane(first, narrow, 0);
  if (second) v128.store32_lane(second, narrow, 1);
}

/** Real part of a product. */
// @ts-ignore: decorator
@inline
export function productRe(aRe: v128, aIm: v128, bRe: v128, bIm: v128): v128 {
  return f64x2.sub(f64x2.mul(aRe, bRe), f64x2.mul(aIm, bIm));
}

/** Imaginary part of a product. */
// @ts-ignore: decorator
@inline
export function productIm(aRe: v128, aIm: v128, bRe: v128, bIm: v128): v128 {
  return f64x2.add(f64x2.mul(aRe, bIm), f64x2.mul(aIm, bRe));
}

/** Discretises modes `mode` and `next` (which may be the same one) of arrays A_log_real and A_imag, into `out`. */
export function discretisePair(logReal: usize, imaginary: usize, mode: i32, next: i32, delta: v128, euler: bool, out: usize): void {
  const re = f64x2.neg(expPair(loadPair(logReal + (mode << 2), logReal + (next << 2))));
  const im = loadPair(imaginary + (mode << 2), imaginary + (next << 2));
  const size = f64x2.add(f64x2.mul(re, re), f64x2.mul(im, im));
  v128.store(out, re, RATE_RE);
  v128.store(out, im, RATE_IM);
  if (euler) {
    const limit = f64x2.div(f64x2.neg(re), size);
    const step = f64x2.min(delta, limit);
    v128.store(out, f64x2.mul(step, re), INCREMENT_RE);
    v128.store(out, f64x2.mul(step, im), INCREMENT_IM);
    v128.store(out, step, DRIVE_RE);
    v128.store(out, f64x2.splat(0), DRIVE_IM);
    v128.store(out, step, STEP);
    v128.store(out, f64x2.gt(delta, limit), LIMITED);
    return;
  }
  // exp(x + iy) - 1 = (e^x - 1) cos y + (cos y - 1) + i e^x sin y.
  const grown = expm1Pair(f64x2.mul(delta, re));
  sinCosPair(f64x2.mul(delta, im), out + STEP);
  const sin = v128.load(out, STEP);
  const incrementRe = f64x2.add(f64x2.mul(grown, v128.load(out, STEP + 16)), v128.load(out, STEP + 32));
  const incrementIm = f64x2.mul(f64x2.add(grown, f64x2.splat(1)), sin);
  v128.store(out, incrementRe, INCREMENT_RE);
  v128.store(out, incrementIm, INCREMENT_IM);
  v128.store(out, f64x2.div(productRe(incrementRe, incrementIm, re, f64x2.neg(im)), size), DRIVE_RE);
  v128.store(out, f64x2.div(productIm(incrementRe, incrementIm, re, f64x2.neg(im)), size), DRIVE_IM);
  v128.store(out, delta, STEP);
  v128.store(out, f64x2.splat(0), LIMITED);
}

/** Zero where |x| < 1e-18: too small to matter beside the rest, and its products would be slow subnormal numbers. */
// @ts-ignore: decorator
@inline
export function flushTiny(x: v128): v128 {
  return v128.and(x, f64x2.ge(f64x2.abs(x), f64x2.splat(1e-18)));
}
