// Steps of selective_scan: Δ [B, T, D].
alias V = f32;
#include "common/math.wgsl"

/// delta plus its bias.
fn raw_step(at: u32, d: u32) -> f32 {
#if HAS_BIAS
  return delta_load(at) + bias_load(d);
#else
  return delta_load(at);
#endif
}

/// Δ from what delta and its bias add up to.
fn step_of(raw: f32) -> f32 {
#if SOFTPLUS
  return softplus(raw);
#else
  return raw;
#endif
}
