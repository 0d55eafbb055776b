// One mode of S4D in continuous and in discrete time (src/ops/s4d-kernel/parameters.ts), in f32 with relative accuracy. EULER: forward Euler with
// a limited step; otherwise zero-order hold.
#include "s4d_kernel/wide.wgsl"
#include "s4d_kernel/powers.wgsl"

/// exp of a parameter. Beyond e^40 squares overflow, below e^-40 they vanish; such modes are constant or gone already.
fn wide_parameter(x: f32) -> vec2f {
  return wide_exp(clamp(x, -40.0, 40.0));
}

/// Δ · Im A in turns.
fn wide_turns(delta: vec2f, omega: f32) -> vec2f {
  return wide_multiply(wide_multiply(delta, vec2f(omega, 0.0)), vec2f(0.15915493667125702, 6.4206382432985265e-9));
}

/// exp(x) - 1 for x <= 0.
fn expm1_negative(x: f32) -> f32 {
  let near = x * (1.0 + x * (0.5 + x * (0.16666667 + x * (0.041666667 + x * (0.0083333333 + x * (0.0013888889 + x * (0.0001984127 + x * 0.0000248016)))))));
  return select(exp(max(x, -80.0)) - 1.0, near, x > -0.5);
}

/// `delta` is exp(log_dt), `rho` exp(A_log_real).
fn discretise(delta: vec2f, rho: f32, omega: f32) -> Mode {
  let rate = vec2f(-rho, omega);
#if EULER
  let limit = rho / dot(rate, rate);
  let step = min(delta.x, limit);
  return Mode(rate, step, delta.x > limit, step * rate, vec2f(step, 0.0));
#else
  // exp(x + iy) - 1 without cancellation near zero: y reduced to half a turn, sine and cosine of a quarter of it (by the polynomials of the
  // Cephes library), then twice the double angle.
  let turns = wide_turns(delta, omega);
  let x = -delta.x * rho;
  let y = ((turns.x - round(turns.x)) + turns.y) * 1.5707963267948966;
  let q = y * y;
  let sine = y + y * q * (-1.6666654611e-1 + q * (8.3321608736e-3 - q * 1.9515295891e-4));
  let cosine = 1.0 - 0.5 * q + q * q * (4.166664568298827e-2 + q * (-1.388731625493765e-3 + q * 2.443315711809948e-5));
  let half_sine = 2.0 * sine * cosine;
  let half_cosine = 1.0 - 2.0 * sine * sine;
  let drop = 2.0 * half_sine * half_sine;
  let grown = expm1_negative(x);
  let increment = vec2f(grown * (1.0 - drop) - drop, (grown + 1.0) * 2.0 * half_sine * half_cosine);
  return Mode(rate, delta.x, false, increment, complex_quotient(increment, rate));
#endif
}
