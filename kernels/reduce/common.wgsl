// How reduce combines numbers: FN 0 sum, 1 sum of squares, 2 maximum. NaN wins every maximum, as in the reference, by its bits:
// compilers may assume that comparisons never see one.
#include "common/units.wgsl"

#if FN == 2
fn identity() -> V {
  return V(bitcast<f32>(0xff800000u + uniforms.zero));
}

fn larger(a: f32, b: f32) -> f32 {
  let a_nan = (bitcast<u32>(a) & 0x7fffffffu) > 0x7f800000u;
  let b_nan = (bitcast<u32>(b) & 0x7fffffffu) > 0x7f800000u;
  return select(select(max(a, b), b, b_nan), a, a_nan);
}

fn combine(a: V, b: V) -> V {
#if VECTOR == 4
  return vec4f(larger(a.x, b.x), larger(a.y, b.y), larger(a.z, b.z), larger(a.w, b.w));
#else
  return larger(a, b);
#endif
}
#else
fn identity() -> V {
  return V(0.0);
}

fn combine(a: V, b: V) -> V {
  return a + b;
}
#endif

fn element(x: V) -> V {
#if FN == 1
  return x * x;
#else
  return x;
#endif
}

/// The result as it is written: a mean is a sum with a factor.
fn scaled(result: V) -> V {
#if FN == 2
  return result;
#else
  return result * uniforms.factor;
#endif
}
