// Transcendental functions of two f64 lanes, for what f32 can't hold: powers of numbers near the unit circle, twiddle
// factors. Errors near 1e-16 relative for exponentials, 1e-16 absolute for sine and cosine at |x| < 1e5.

/** 2^n of two integers held as doubles, |n| < 1022. */
// @ts-ignore: decorator
@inline
function powerOfTwo(n: v128): v128 {
  const exponents = i64x2.extend_low_i32x4_s(i32x4.trunc_sat_f64x2_s_zero(n));
  return i64x2.shl(i64x2.add(exponents, i64x2.splat(1023)), 52);
}

/** e^x - 1, x limited to [-700, 700]. */
export function expm1Pair(x: v128): v128 {
  const bounded = f64x2.max(f64x2.min(x, f64x2.splat(700)), f64x2.splat(-700));
  const n = f64x2.nearest(f64x2.mul(bounded, f64x2.splat(1.4426950408889634)));
  const r = f64x2.sub(
    f64x2.sub(bounded, f64x2.mul(n, f64x2.splat(6.93147180369123816490e-1))),
    f64x2.mul(n, f64x2.splat(1.90821492927058770002e-10)),
  );
  // Taylor's series to r^13: |r| <= 0.347.
  let p = f64x2.splat(1.6059043836821613e-10);
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(2.08767569878681e-9));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(2.505210838544172e-8));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(2.755731922398589e-7));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(2.7557319223985893e-6));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(2.48015873015873e-5));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(1.984126984126984e-4));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(1.388888888888889e-3));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(8.333333333333333e-3));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(4.1666666666666664e-2));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(1.6666666666666666e-1));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(0.5));
  p = f64x2.add(f64x2.mul(f64x2.mul(p, r), r), r);
  const scale = powerOfTwo(n);
  return f64x2.add(f64x2.mul(p, scale), f64x2.sub(scale, f64x2.splat(1)));
}

/** e^x, x limited to [-700, 700]; absolute error 1e-16 where it is small. */
// @ts-ignore: decorator
@inline
export function expPair(x: v128): v128 {
  return f64x2.add(expm1Pair(x), f64x2.splat(1));
}

/** Stores sin x at `out`, cos x at out + 16 and cos x - 1, accurate near x = 0, at out + 32. */
export function sinCosPair(x: v128, out: usize): void {
  const q = f64x2.nearest(f64x2.mul(x, f64x2.splat(0.63661977236758134308)));
  const r = f64x2.sub(
    f64x2.sub(x, f64x2.mul(q, f64x2.splat(1.57079632673412561417))),
    f64x2.mul(q, f64x2.splat(6.07710050650619224932e-11)),
  );
  const z = f64x2.mul(r, r);
  // Minimax polynomials of fdlibm (Sun Microsystems) on |r| <= π/4.
  let s = f64x2.splat(1.58969099521155010221e-10);
  s = f64x2.add(f64x2.mul(s, z), f64x2.splat(-2.50507602534068634195e-8));
  s = f64x2.add(f64x2.mul(s, z), f64x2.splat(2.75573137070700676789e-6));
  s = f64x2.add(f64x2.mul(s, z), f64x2.splat(-1.98412698298579493134e-4));
  s = f64x2.add(f64x2.mul(s, z), f64x2.splat(8.33333333332248946124e-3));
  s = f64x2.add(f64x2.mul(s, z), f64x2.splat(-1.66666666666666324348e-1));
  s = f64x2.add(f64x2.mul(f64x2.mul(s, z), r), r);
  let c = f64x2.splat(-1.13596475577881948265e-11);
  c = f64x2.add(f64x2.mul(c, z), f64x2.splat(2.08757232129817482790e-9));
  c = f64x2.add(f64x2.mul(c, z), f64x2.splat(-2.75573143513906633035e-7));
  c = f64x2.add(f64x2.mul(c, z), f64x2.splat(2.48015872894767294178e-5));
  c = f64x2.add(f64x2.mul(c, z), f64x2.splat(-1.38888888888741095749e-3));
  c = f64x2.add(f64x2.mul(c, z), f64x2.splat(4.16666666666666019037e-2));
  c = f64x2.sub(f64x2.mul(f64x2.mul(c, z), z), f64x2.mul(z, f64x2.splat(0.5)));
  const one = f64x2.splat(1);
  const cosine = f64x2.add(c, one);
  const quadrant = i64x2.extend_low_i32x4_s(i32x4.trunc_sat_f64x2_s_zero(q));
  const odd = i64x2.shr_s(i64x2.shl(quadrant, 63), 63);
  const sinSign = i64x2.shl(i64x2.shr_u(quadrant, 1), 63);
  const cosSign = i64x2.shl(i64x2.shr_u(i64x2.add(quadrant, i64x2.splat(1)), 1), 63);
  const cos = v128.xor(v128.bitselect(s, cosine, odd), cosSign);
  const first = f64x2.eq(q, f64x2.splat(0));
  v128.store(out, v128.xor(v128.bitselect(cosine, s, odd), sinSign));
  v128.store(out, cos, 16);
  v128.store(out, v128.bitselect(c, f64x2.sub(cos, one), first), 32);
}
