// Modes of S4D as the table of modes.wgsl holds them. Ā is there in polar form: the logarithm of its size in f32, its angle in turns modulo one
// as a fixed-point number of 48 bits, from which any power has an exact phase.
#include "common/turns.wgsl"

struct Mode {
  /// A.
  rate: vec2f,
  /// Δ, for EULER after its limit.
  step: f32,
  limited: bool,
  /// Ā - 1.
  increment: vec2f,
  /// B̄.
  drive: vec2f,
}

struct Polar {
  log_size: f32,
  /// Bits 24 … 47 and 0 … 23 of the angle, as whole numbers that f32 holds.
  high: f32,
  low: f32,
}

fn complex_product(a: vec2f, b: vec2f) -> vec2f {
  return vec2f(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

fn complex_quotient(a: vec2f, b: vec2f) -> vec2f {
  return vec2f(a.x * b.x + a.y * b.y, a.y * b.x - a.x * b.y) / dot(b, b);
}

/// Ā^n.
fn power_of(p: Polar, n: u32) -> vec2f {
  let low = wide_product(u32(p.low), n);
  let turn = ((u32(p.high) * n) << 8u) + ((low.x >> 16u) | (low.y << 16u));
  return exp(max(p.log_size * f32(n), -100.0)) * cosine_and_sine(turn);
}

#if HAS_MODES
/// Vectors of four per mode in the table.
const MODE_VECTORS = 4u;

fn polar_at(mode: u32) -> Polar {
  let v = modes_load4(MODE_VECTORS * mode);
  return Polar(v.x, v.y, v.z);
}

fn increment_at(mode: u32) -> vec2f {
  return modes_load4(MODE_VECTORS * mode + 1u).xy;
}

/// 2 C B̄.
fn weight_at(mode: u32) -> vec2f {
  return modes_load4(MODE_VECTORS * mode + 1u).zw;
}

fn mode_at(mode: u32) -> Mode {
  let v = modes_load4(MODE_VECTORS * mode + 2u);
  let w = modes_load4(MODE_VECTORS * mode + 3u);
  return Mode(v.xy, w.x, w.y > 0.0, increment_at(mode), v.zw);
}
#endif
