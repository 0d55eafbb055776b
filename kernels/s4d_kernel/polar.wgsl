// The polar form of Ā, whose angle takes more than f32 to find.
#include "s4d_kernel/discretise.wgsl"
alias V = f32;
#include "common/math.wgsl"

/// Turns modulo one, times 2^48.
fn fixed_point(log_size: f32, turns: vec2f) -> Polar {
  let a = (turns.x - round(turns.x)) * 16777216.0;
  let b = turns.y * 16777216.0;
  let rest = (a - floor(a)) + (b - floor(b));
  let whole = i32(floor(a)) + i32(floor(b)) + i32(floor(rest));
  let low = min(floor((rest - floor(rest)) * 16777216.0), 16777215.0);
  return Polar(log_size, f32(u32(whole) & 0xffffffu), low);
}

/// Cosine and sine of 0 <= x <= 1 by their series.
fn wide_cosine(x: f32) -> vec2f {
  return wide_series(x, 0.0);
}

fn wide_sine(x: f32) -> vec2f {
  return wide_multiply(vec2f(x, 0.0), wide_series(x, 1.0));
}

/// Σ (-x²)^k / ((2k + odd)! / odd!).
fn wide_series(x: f32, odd: f32) -> vec2f {
  let square = two_product(x, x);
  var total = vec2f(1.0, 0.0);
  for (var k = 9.0; k > 0.0; k -= 1.0) {
    let divisor = (2.0 * k + odd) * (2.0 * k + odd - 1.0);
    total = wide_add(vec2f(1.0, 0.0), -wide_divide(wide_multiply(square, total), vec2f(divisor, 0.0)));
  }
  return total;
}

/// The angle of x + iy in turns: a guess in the first eighth of the circle, and what is left of it after turning back by the guess.
fn wide_angle(x: vec2f, y: vec2f) -> vec2f {
  let a = select(x, -x, x.x < 0.0);
  let b = select(y, -y, y.x < 0.0);
  let steep = b.x > a.x;
  let large = select(a, b, steep);
  let small = select(b, a, steep);
  if (large.x < 1e-15) {
    return vec2f(0.0);
  }
  let guess = atan(small.x / large.x);
  let c = wide_cosine(guess);
  let s = wide_sine(guess);
  let across = wide_add(wide_multiply(small, c), -wide_multiply(large, s));
  let along = wide_add(wide_multiply(large, c), wide_multiply(small, s));
  let tangent = wide_divide(across, along);
  let t = tangent.x;
  let rest = wide_add(tangent, vec2f(t * t * t * (-0.33333333 + 0.2 * t * t), 0.0));
  var turns = wide_multiply(wide_add(vec2f(guess, 0.0), rest), vec2f(0.15915493667125702, 6.4206382432985265e-9));
  turns = select(turns, wide_add(vec2f(0.25, 0.0), -turns), steep);
  turns = select(turns, wide_add(vec2f(0.5, 0.0), -turns), x.x < 0.0);
  return select(turns, -turns, y.x < 0.0);
}

fn polar_of(delta: vec2f, rho: vec2f, omega: f32) -> Polar {
#if EULER
  let square = wide_add(wide_multiply(rho, rho), two_product(omega, omega));
  let limit = wide_divide(rho, square);
  let step = select(delta, limit, delta.x > limit.x);
  let real = wide_multiply(step, rho);
  let x = wide_add(vec2f(1.0, 0.0), -real);
  let y = wide_multiply(step, vec2f(omega, 0.0));
  // |Ā|² - 1, and |Ā|² where that is far from 1.
  let excess = wide_add(-2.0 * real, wide_multiply(wide_multiply(step, step), square)).x;
  let size = wide_add(wide_multiply(x, x), wide_multiply(y, y)).x;
  let log_size = 0.5 * select(log(max(size, 1e-38)), log1p(excess), excess > -0.5);
  return fixed_point(log_size, wide_angle(x, y));
#else
  return fixed_point(-wide_multiply(delta, rho).x, wide_turns(delta, omega));
#endif
}
