// What S4D's kernels need of each mode: table [D · M, 16] = log |Ā|, two halves of its angle, -, Ā - 1, 2 C B̄, A, B̄, Δ, whether it was limited, -, -, from log_dt [D], A_log_real and
// A_imag [D, M], C [D, M, 2]. A thread per mode.
#include "s4d_kernel/polar.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= uniforms.count) {
    return;
  }
  let delta = wide_parameter(log_dt_load(i / uniforms.modes));
  let rho = wide_parameter(log_real_load(i));
  let omega = imaginary_load(i);
  let polar = polar_of(delta, rho, omega);
  let mode = discretise(delta, rho.x, omega);
  let weight = 2.0 * complex_product(vec2f(c_load(2u * i), c_load(2u * i + 1u)), mode.drive);
  table_store4(4u * i, vec4f(polar.log_size, polar.high, polar.low, 0.0));
  table_store4(4u * i + 1u, vec4f(mode.increment, weight));
  table_store4(4u * i + 2u, vec4f(mode.rate, mode.drive));
  table_store4(4u * i + 3u, vec4f(mode.step, select(0.0, 1.0, mode.limited), 0.0, 0.0));
}
