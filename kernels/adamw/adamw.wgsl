// adamw: parameter, m and v [count] by gradient [count], in place or not; hyper = (η, 1 − β₁ᵗ, 1 − β₂ᵗ, unused).
// Loshchilov & Hutter 2019, algorithm 2. One thread per unit: seven streams, each touched once.
#include "common/units.wgsl"

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * WORKGROUP;
  if (i >= uniforms.count) {
    return;
  }
  let rate = hyper_load(0u);
  var g = gradient_unit(i);
#if HAS_SCALE
  g *= scale_load(0u);
#endif
  let mean = BETA1 * m_unit(i) + REST1 * g;
  let square = BETA2 * v_unit(i) + REST2 * (g * g);
  let step = (mean / hyper_load(1u)) / (sqrt(square / hyper_load(2u)) + V(EPS));
  let p = (1.0 - rate * WEIGHT_DECAY) * parameter_unit(i) - rate * step;
#if HAS_NEW_PARAMETER
  new_parameter_put(i, p);
#endif
#if HAS_NEW_M
  new_m_put(i, mean);
#endif
#if HAS_NEW_V
  new_v_put(i, square);
#endif
}
