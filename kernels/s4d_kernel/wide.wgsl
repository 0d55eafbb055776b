// Numbers as unevaluated sums of two f32, high + low, about 45 bits: WGSL has no f64, and S4D's phases after thousands of tokens need more
// than f32. After Dekker (1971) and Knuth; compilers may reassociate and contract f32 arithmetic, so each intermediate
// whose rounding matters passes through `keep`, which they can't see through.

/// x; `uniforms.zero` is 0.
fn keep(x: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(x) ^ uniforms.zero);
}

/// a + b exactly.
fn two_sum(a: f32, b: f32) -> vec2f {
  let s = keep(a + b);
  let c = keep(s - a);
  return vec2f(s, keep(a - keep(s - c)) + keep(b - c));
}

/// a + b exactly, |a| >= |b|.
fn quick_two_sum(a: f32, b: f32) -> vec2f {
  let s = keep(a + b);
  return vec2f(s, b - keep(s - a));
}

/// a · b exactly, by halves of 12 bits.
fn two_product(a: f32, b: f32) -> vec2f {
  let p = keep(a * b);
  let a1 = bitcast<f32>(bitcast<u32>(a) & 0xfffff000u);
  let b1 = bitcast<f32>(bitcast<u32>(b) & 0xfffff000u);
  let a2 = keep(a - a1);
  let b2 = keep(b - b1);
  return vec2f(p, keep(keep(keep(a1 * b1 - p) + a1 * b2) + a2 * b1) + a2 * b2);
}

fn wide_add(x: vec2f, y: vec2f) -> vec2f {
  let s = two_sum(x.x, y.x);
  return quick_two_sum(s.x, s.y + (x.y + y.y));
}

fn wide_multiply(x: vec2f, y: vec2f) -> vec2f {
  let p = two_product(x.x, y.x);
  return quick_two_sum(p.x, p.y + (x.x * y.y + x.y * y.x));
}

fn wide_divide(x: vec2f, y: vec2f) -> vec2f {
  let first = keep(x.x / y.x);
  let rest = wide_add(x, -wide_multiply(vec2f(first, 0.0), y));
  let second = keep(rest.x / y.x);
  let last = wide_add(rest, -wide_multiply(vec2f(second, 0.0), y));
  return wide_add(quick_two_sum(first, second), vec2f(last.x / y.x, 0.0));
}

/// exp(x) for |x| <= 80.
fn wide_exp(x: f32) -> vec2f {
  let k = round(x * 1.4426950408889634);
  // x - k ln 2, the first product being exact, then a 16th of it.
  let shift = wide_multiply(vec2f(k, 0.0), vec2f(1.428606765330187e-6, 5.497923148104107e-14));
  let s = 0.0625 * wide_add(two_sum(x, -k * 0.693145751953125), -shift);
  let tail = 0.041666667 + s.x * (0.0083333333 + s.x * (0.0013888889 + s.x * 0.0001984127));
  let third = wide_add(vec2f(0.1666666716337204, -4.967053879312289e-9), vec2f(s.x * tail, 0.0));
  let second = wide_add(vec2f(0.5, 0.0), wide_multiply(s, third));
  var p = wide_add(s, wide_multiply(wide_multiply(s, s), second));
  // exp(2s) - 1 = 2p + p².
  for (var i = 0u; i < 4u; i++) {
    p = wide_add(2.0 * p, wide_multiply(p, p));
  }
  return wide_add(vec2f(1.0, 0.0), p) * bitcast<f32>(u32(i32(k) + 127) << 23u);
}
