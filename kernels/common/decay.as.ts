// exp2 for the decays of scans: exponents x = Δ'·A with Δ' ≥ 0 and A ≤ 0. How far below 0 they reach over a tile of
// tokens is bounded beforehand, and decides how much of exp2 has to be done for each element.
import { fma } from "./simd.as";

/** -1 ≤ x ≤ 0: the polynomial alone. */
export const SMALL: i32 = 0;
/** -100 ≤ x ≤ 0: with its integer part taken out. */
export const MEDIUM: i32 = 1;
/** Anything: clamped to [-100, 127] first. (2^-100 of a state is nothing, and not subnormal.) */
export const ANY: i32 = 2;

const ROUND: f32 = 12582912.0;

/** Which of the three fits, given bounds of the factors as `magnitudeBound` and `rateBound` give them. */
// @ts-ignore: decorator
@inline
export function decayKind(deltaBound: u32, rateBound: u32): i32 {
  if (deltaBound > 0x7f800000 || rateBound > 0x7f800000) return ANY;
  const reach = reinterpret<f32>(deltaBound) * reinterpret<f32>(rateBound);
  return reach <= 1 ? SMALL : reach <= 100 ? MEDIUM : ANY;
}

/** Lane-wise bound so far of non-negative numbers, as unsigned bits: a negative or NaN makes it larger than infinity. */
// @ts-ignore: decorator
@inline
export function boundBits(bound: v128, x: v128): v128 {
  return i32x4.max_u(bound, x);
}


/** 2^(delta · rate) to a relative 2e-7, when `kind` fits. */
// @ts-ignore: decorator
@inline
export function decay(delta: v128, rate: v128, kind: i32): v128 {
  if (kind == SMALL) {
    const x = f32x4.mul(delta, rate);
    let p = fma(x, f32x4.splat(0.000944903411436826), f32x4.splat(0.00920579768717289));
    p = fma(p, x, f32x4.splat(0.055297356098890305));
    p = fma(p, x, f32x4.splat(0.2401801496744156));
    p = fma(p, x, f32x4.splat(0.6931437253952026));
    return fma(p, x, f32x4.splat(1));
  }
  let sum: v128;
  let f: v128;
  if (kind == MEDIUM) {
    if (ASC_FEATURE_RELAXED_SIMD) {
      sum = f32x4.relaxed_madd(delta, rate, f32x4.splat(ROUND));
      f = f32x4.relaxed_madd(delta, rate, f32x4.sub(f32x4.splat(ROUND), sum));
    } else {
      const x = f32x4.mul(delta, rate);
      sum = f32x4.add(x, f32x4.splat(ROUND));
      f = f32x4.sub(x, f32x4.sub(sum, f32x4.splat(ROUND)));
    }
  } else {
    const x = f32x4.pmin(f32x4.pmax(f32x4.mul(delta, rate), f32x4.splat(-100)), f32x4.splat(127));
    sum = f32x4.add(x, f32x4.splat(ROUND));
    f = f32x4.sub(x, f32x4.sub(sum, f32x4.splat(ROUND)));
  }
  let p = fma(f, f32x4.splat(0.001326472731307149), f32x4.splat(0.009671512991189957));
  p = fma(p, f, f32x4.splat(0.05550733581185341));
  p = fma(p, f, f32x4.splat(0.24022242426872253));
  p = fma(p, f, f32x4.splat(0.6931470036506653));
  p = fma(p, f, f32x4.splat(1));
  return i32x4.add(p, i32x4.shl(sum, 23));
}
