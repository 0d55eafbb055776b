// Transcendental functions of four f32 lanes. Each is branch-free, keeps NaN, and is inlined where it is called.
// Polynomials are minimax fits made for these ranges. Error bounds, measured against float64 in both builds by
// test/kernels/math.test.ts, stand with each function; ulp = distance to the true value in units of f32 spacing there.
import { fma, fnma } from "./simd.as";

/** Adding then subtracting this rounds to an integer n and leaves n - 1 in the low bits of the sum: 1.5·2²³ - 1. */
const ROUND: f32 = 12582911.0;
/** The same with n itself in the low bits. */
const ROUND_EXACT: f32 = 12582912.0;
const LOG2_E: f32 = 1.44269504088896340736;
/** ln 2 in two parts; n times the first is exact for |n| < 2¹³. */
const LN2_HIGH: f32 = 0.693359375;
const LN2_LOW: f32 = -2.12194440054690581e-4;

/** exp2(f) - 1 over f, |f| ≤ 1/2, degree 6 in all: relative error of exp2(f) 2e-9. */
// @ts-ignore: decorator
@inline
function exp2Fraction(f: v128): v128 {
  let p = fma(f, f32x4.splat(0.00015353361959569156), f32x4.splat(0.0013398875016719103));
  p = fma(p, f, f32x4.splat(0.00961843691766262));
  p = fma(p, f, f32x4.splat(0.055503323674201965));
  p = fma(p, f, f32x4.splat(0.24022647738456726));
  p = fma(p, f, f32x4.splat(0.6931471824645996));
  return fma(p, f, f32x4.splat(1));
}

/** exp(r), |r| ≤ ln(2)/2: relative error 3e-9 before rounding. */
// @ts-ignore: decorator
@inline
function expFraction(r: v128): v128 {
  let p = fma(r, f32x4.splat(0.0013814560370519757), f32x4.splat(0.008368735201656818));
  p = fma(p, r, f32x4.splat(0.04166838899254799));
  p = fma(p, r, f32x4.splat(0.1666652113199234));
  p = fma(p, r, f32x4.splat(0.4999999403953552));
  p = fma(p, r, f32x4.splat(1));
  return fma(p, r, f32x4.splat(1));
}

/** 2^x: at most 1.5 ulp; +inf from 128 on; 0 below -125. */
// @ts-ignore: decorator
@inline
export function exp2(x: v128): v128 {
  const clamped = f32x4.pmin(x, f32x4.splat(128.4));
  const sum = f32x4.add(clamped, f32x4.splat(ROUND));
  const f = f32x4.sub(clamped, f32x4.sub(sum, f32x4.splat(ROUND)));
  // Scaled by 2^(n-1) and doubled, so that overflow rounds to infinity by itself.
  const half = i32x4.add(exp2Fraction(f), i32x4.shl(sum, 23));
  return v128.andnot(f32x4.add(half, half), f32x4.lt(x, f32x4.splat(-125)));
}

/** 2^x for x ≤ 127, cheaper: relative error at most 2.3e-7; 0 below -125. For decays and softmax. */
// @ts-ignore: decorator
@inline
export function exp2NonPositive(x: v128): v128 {
  const sum = f32x4.add(x, f32x4.splat(ROUND_EXACT));
  const f = f32x4.sub(x, f32x4.sub(sum, f32x4.splat(ROUND_EXACT)));
  let p = fma(f, f32x4.splat(0.001326472731307149), f32x4.splat(0.009671512991189957));
  p = fma(p, f, f32x4.splat(0.05550733581185341));
  p = fma(p, f, f32x4.splat(0.24022242426872253));
  p = fma(p, f, f32x4.splat(0.6931470036506653));
  p = fma(p, f, f32x4.splat(1));
  return v128.andnot(i32x4.add(p, i32x4.shl(sum, 23)), f32x4.lt(x, f32x4.splat(-125)));
}

/** e^x: at most 1.5 ulp; +inf above 88.7228; 0 below -86.64 (2^-125). */
// @ts-ignore: decorator
@inline
export function exp(x: v128): v128 {
  const clamped = f32x4.pmin(x, f32x4.splat(88.9));
  const sum = fma(clamped, f32x4.splat(LOG2_E), f32x4.splat(ROUND));
  const n = f32x4.sub(sum, f32x4.splat(ROUND));
  const r = fnma(n, f32x4.splat(LN2_LOW), fnma(n, f32x4.splat(LN2_HIGH), clamped));
  const half = i32x4.add(expFraction(r), i32x4.shl(sum, 23));
  return v128.andnot(f32x4.add(half, half), f32x4.lt(x, f32x4.splat(-86.64)));
}

/** e^x for x ≤ 88, cheaper: at most 1.5 ulp; 0 below -86.64. */
// @ts-ignore: decorator
@inline
export function expNonPositive(x: v128): v128 {
  const sum = fma(x, f32x4.splat(LOG2_E), f32x4.splat(ROUND_EXACT));
  const n = f32x4.sub(sum, f32x4.splat(ROUND_EXACT));
  const r = fnma(n, f32x4.splat(LN2_LOW), fnma(n, f32x4.splat(LN2_HIGH), x));
  return v128.andnot(i32x4.add(expFraction(r), i32x4.shl(sum, 23)), f32x4.lt(x, f32x4.splat(-86.64)));
}

/** e^x - 1 for x ≤ 0, with relative accuracy also where it is small; -1 below -80. */
// @ts-ignore: decorator
@inline
export function expm1NonPositive(x: v128): v128 {
  const bounded = f32x4.max(x, f32x4.splat(-80));
  const n = f32x4.nearest(f32x4.mul(bounded, f32x4.splat(LOG2_E)));
  const r = fnma(n, f32x4.splat(LN2_LOW), fnma(n, f32x4.splat(LN2_HIGH), bounded));
  let p = fma(r, f32x4.splat(0.0013814560370519757), f32x4.splat(0.008368735201656818));
  p = fma(p, r, f32x4.splat(0.04166838899254799));
  p = fma(p, r, f32x4.splat(0.1666652113199234));
  p = fma(p, r, f32x4.splat(0.4999999403953552));
  p = fma(f32x4.mul(p, r), r, r);
  const scale = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23);
  return fma(p, scale, f32x4.sub(scale, f32x4.splat(1)));
}

/** k·ln 2 + log(1 + f), f in [√½ - 1, √2 - 1], by s = f / (2 + f). */
// @ts-ignore: decorator
@inline
function logFraction(f: v128, k: v128): v128 {
  const s = f32x4.div(f, f32x4.add(f, f32x4.splat(2)));
  const s2 = f32x4.mul(s, s);
  let p = fma(s2, f32x4.splat(0.2987450063228607), f32x4.splat(0.3997745215892792));
  p = f32x4.mul(fma(p, s2, f32x4.splat(0.6666677594184875)), s2);
  const half = f32x4.mul(f32x4.mul(f, f), f32x4.splat(0.5));
  const low = fma(k, f32x4.splat(LN2_LOW), f32x4.mul(s, f32x4.add(half, p)));
  return fma(k, f32x4.splat(LN2_HIGH), f32x4.add(f, f32x4.sub(low, half)));
}

/** Natural logarithm: at most 1.5 ulp; -inf at 0 (and for subnormal x), NaN below. */
// @ts-ignore: decorator
@inline
export function log(x: v128): v128 {
  // Exponent k such that m = x / 2^k lies in [√½, √2).
  const offset = i32x4.sub(x, i32x4.splat(0x3f3504f3));
  const k = f32x4.convert_i32x4_s(i32x4.shr_s(offset, 23));
  const m = i32x4.add(v128.and(offset, i32x4.splat(0x007fffff)), i32x4.splat(0x3f3504f3));
  let y = logFraction(f32x4.sub(m, f32x4.splat(1)), k);
  y = v128.bitselect(x, y, f32x4.ge(x, f32x4.splat(Infinity)));
  y = v128.bitselect(f32x4.splat(-Infinity), y, f32x4.lt(x, f32x4.splat(1.1754943508222875e-38)));
  // Negative or NaN.
  return v128.or(y, v128.not(f32x4.ge(x, f32x4.splat(0))));
}

/** log(1 + x): at most 1.6 ulp for x > -1, small x included; -inf at -1, NaN below. */
// @ts-ignore: decorator
@inline
export function log1p(x: v128): v128 {
  const u = f32x4.add(x, f32x4.splat(1));
  const offset = i32x4.sub(u, i32x4.splat(0x3f3504f3));
  const exponent = i32x4.shr_s(offset, 23);
  const m = i32x4.add(v128.and(offset, i32x4.splat(0x007fffff)), i32x4.splat(0x3f3504f3));
  // What rounding 1 + x lost, on the scale of m (2^-k; for huge x it is nothing). Exact for either order of sizes.
  const large = f32x4.gt(x, f32x4.splat(1));
  const lost = f32x4.sub(
    v128.bitselect(f32x4.splat(1), x, large),
    f32x4.sub(u, v128.bitselect(x, f32x4.splat(1), large)),
  );
  const scale = i32x4.max_s(i32x4.sub(i32x4.splat(0x3f800000), i32x4.shl(exponent, 23)), i32x4.splat(0));
  const f = fma(lost, scale, f32x4.sub(m, f32x4.splat(1)));
  let y = logFraction(f, f32x4.convert_i32x4_s(exponent));
  y = v128.bitselect(x, y, f32x4.ge(x, f32x4.splat(Infinity)));
  y = v128.bitselect(f32x4.splat(-Infinity), y, f32x4.eq(u, f32x4.splat(0)));
  return v128.or(y, v128.not(f32x4.ge(x, f32x4.splat(-1))));
}

/** log(1 + e) for e in [0, 1]: at most 2 ulp. */
// @ts-ignore: decorator
@inline
export function log1pUnit(e: v128): v128 {
  const s = f32x4.div(e, f32x4.add(e, f32x4.splat(2)));
  const s2 = f32x4.mul(s, s);
  let p = fma(s2, f32x4.splat(0.28011995553970337), f32x4.splat(0.28001803159713745));
  p = fma(p, s2, f32x4.splat(0.4002152681350708));
  p = fma(p, s2, f32x4.splat(0.666664183139801));
  return fma(f32x4.mul(p, s2), s, f32x4.add(s, s));
}

/** log(1 + e^x), without a threshold: at most 3.5 ulp; relative accuracy also where it is tiny; 0 below -86.64. */
// @ts-ignore: decorator
@inline
export function softplus(x: v128): v128 {
  // Where x is NaN, pmax(0, x) is 0 but the exponential is NaN.
  const e = expNonPositive(f32x4.neg(f32x4.abs(x)));
  return f32x4.add(log1pUnit(e), f32x4.pmax(f32x4.splat(0), x));
}

/** 1 / (1 + e^-x), the derivative of softplus too: at most 2.5 ulp; 0 below -88.72. */
// @ts-ignore: decorator
@inline
export function sigmoid(x: v128): v128 {
  return f32x4.div(f32x4.splat(1), f32x4.add(exp(f32x4.neg(x)), f32x4.splat(1)));
}

/** Derivative of the sigmoid, given s = sigmoid(x). */
// @ts-ignore: decorator
@inline
export function sigmoidGradient(s: v128): v128 {
  return fnma(s, s, s);
}

/** x · sigmoid(x): at most 3 ulp for finite x; -0 below -88.72. */
// @ts-ignore: decorator
@inline
export function silu(x: v128): v128 {
  return f32x4.div(x, f32x4.add(exp(f32x4.neg(x)), f32x4.splat(1)));
}

/** Derivative of silu, given s = sigmoid(x): s · (1 + x · (1 - s)). Absolute error at most 1.1e-6. */
// @ts-ignore: decorator
@inline
export function siluGradient(x: v128, s: v128): v128 {
  return fma(f32x4.mul(s, x), f32x4.sub(f32x4.splat(1), s), s);
}

/** Hyperbolic tangent: at most 2 ulp. */
// @ts-ignore: decorator
@inline
export function tanh(x: v128): v128 {
  const magnitude = f32x4.abs(x);
  const x2 = f32x4.mul(x, x);
  let p = fma(x2, f32x4.splat(-0.005704985000193119), f32x4.splat(0.02063908614218235));
  p = fma(p, x2, f32x4.splat(-0.05373971536755562));
  p = fma(p, x2, f32x4.splat(0.13331441581249237));
  p = fma(p, x2, f32x4.splat(-0.3333328068256378));
  const small = fma(f32x4.mul(p, x2), x, x);
  // 1 - 2e/(1+e), e = exp(-2|x|)
  const e = expNonPositive(f32x4.mul(magnitude, f32x4.splat(-2)));
  const quotient = f32x4.div(f32x4.add(e, e), f32x4.add(e, f32x4.splat(1)));
  const large = withSignOf(f32x4.sub(f32x4.splat(1), quotient), x);
  return v128.bitselect(large, small, f32x4.gt(magnitude, f32x4.splat(0.625)));
}

/** Error function: at most 2 ulp. */
// @ts-ignore: decorator
@inline
export function erf(x: v128): v128 {
  const magnitude = f32x4.abs(x);
  const x2 = f32x4.mul(x, x);
  let p = fma(x2, f32x4.splat(-0.0005631441599689424), f32x4.splat(0.004917556885629892));
  p = fma(p, x2, f32x4.splat(-0.026711316779255867));
  p = fma(p, x2, f32x4.splat(0.11280180513858795));
  p = fma(p, x2, f32x4.splat(-0.37612324953079224));
  p = fma(p, x2, f32x4.splat(0.12837912142276764));
  const small = fma(p, x, x);
  // 1 - exp(q(|x|)) where q fits log(erfc) on [1, 4]; beyond 4, erf is 1 in f32.
  const t = f32x4.pmin(magnitude, f32x4.splat(4));
  let q = fma(t, f32x4.splat(0.00018650220590643585), f32x4.splat(-0.0029489111620932817));
  q = fma(q, t, f32x4.splat(0.021843263879418373));
  q = fma(q, t, f32x4.splat(-0.10311801731586456));
  q = fma(q, t, f32x4.splat(-0.6381313800811768));
  q = fma(q, t, f32x4.splat(-1.1270976066589355));
  q = fma(q, t, f32x4.splat(-0.0003393888764549047));
  const large = withSignOf(f32x4.sub(f32x4.splat(1), expNonPositive(q)), x);
  return v128.bitselect(large, small, f32x4.gt(magnitude, f32x4.splat(1)));
}

/** Distribution function of the standard normal, (1 + erf(x/√2)) / 2: absolute error at most 1.2e-7. */
// @ts-ignore: decorator
@inline
export function normalCdf(x: v128): v128 {
  return fma(erf(f32x4.mul(x, f32x4.splat(0.70710678118654752))), f32x4.splat(0.5), f32x4.splat(0.5));
}

/** The exact GELU, x · normalCdf(x): error at most 1.2e-7 · |x|. */
// @ts-ignore: decorator
@inline
export function gelu(x: v128): v128 {
  return f32x4.mul(x, normalCdf(x));
}

/** Derivative of the exact GELU, given c = normalCdf(x): c + x · φ(x). Absolute error at most 3e-7. */
// @ts-ignore: decorator
@inline
export function geluGradient(x: v128, c: v128): v128 {
  const density = expNonPositive(f32x4.mul(f32x4.mul(x, x), f32x4.splat(-0.5)));
  return fma(f32x4.mul(x, f32x4.splat(0.39894228040143267794)), density, c);
}

/** The multiple of π/2 nearest to x, as i32 lanes, for |x| ≤ 2¹⁸: pass it to `sinAt` and `cosAt` with `angleRest`. */
// @ts-ignore: decorator
@inline
export function angleQuadrant(x: v128): v128 {
  const sum = fma(x, f32x4.splat(0.63661977236758134), f32x4.splat(ROUND_EXACT));
  return i32x4.sub(sum, i32x4.splat(0x4b400000));
}

/** x - quadrant · π/2, reduced in f64. */
// @ts-ignore: decorator
@inline
export function angleRest(x: v128, quadrant: v128): v128 {
  const quarter = f64x2.splat(1.5707963267948966);
  const low = f64x2.sub(f64x2.promote_low_f32x4(x), f64x2.mul(f64x2.convert_low_i32x4_s(quadrant), quarter));
  const high = f64x2.sub(
    f64x2.promote_low_f32x4(i64x2.shuffle(x, x, 1, 0)),
    f64x2.mul(f64x2.convert_low_i32x4_s(i64x2.shuffle(quadrant, quadrant, 1, 0)), quarter),
  );
  return i64x2.shuffle(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 2);
}

/** sin(rest + quadrant · π/2), |rest| ≤ 0.8. */
// @ts-ignore: decorator
@inline
export function sinAt(rest: v128, quadrant: v128): v128 {
  const r2 = f32x4.mul(rest, rest);
  let s = fma(r2, f32x4.splat(-0.00019514783343765885), f32x4.splat(0.008332157507538795));
  s = fma(s, r2, f32x4.splat(-0.16666655242443085));
  s = fma(f32x4.mul(s, r2), rest, rest);
  let c = fma(r2, f32x4.splat(2.4432585632894188e-5), f32x4.splat(-0.0013887311797589064));
  c = fma(c, r2, f32x4.splat(0.04166664555668831));
  c = fma(f32x4.mul(c, r2), r2, fnma(r2, f32x4.splat(0.5), f32x4.splat(1)));
  const odd = i32x4.shr_s(i32x4.shl(quadrant, 31), 31);
  const sign = i32x4.shl(i32x4.shr_u(quadrant, 1), 31);
  return v128.xor(v128.bitselect(c, s, odd), sign);
}

/** cos(rest + quadrant · π/2). */
// @ts-ignore: decorator
@inline
export function cosAt(rest: v128, quadrant: v128): v128 {
  return sinAt(rest, i32x4.add(quadrant, i32x4.splat(1)));
}

/** Sine, |x| ≤ 2¹⁸ (elsewhere meaningless): at most 1.6 ulp, or 4e-11 where that is more. */
// @ts-ignore: decorator
@inline
export function sin(x: v128): v128 {
  const quadrant = angleQuadrant(x);
  return sinAt(angleRest(x, quadrant), quadrant);
}

/** Cosine, |x| ≤ 2¹⁸: bounds as for `sin`. */
// @ts-ignore: decorator
@inline
export function cos(x: v128): v128 {
  const quadrant = angleQuadrant(x);
  return cosAt(angleRest(x, quadrant), quadrant);
}

/** Magnitude of the first (not negative), sign of the second. */
// @ts-ignore: decorator
@inline
function withSignOf(magnitude: v128, sign: v128): v128 {
  return v128.or(magnitude, v128.and(sign, i32x4.splat(0x80000000)));
}
