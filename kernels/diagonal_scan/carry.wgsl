// diagonal_scan in runs of `span` tokens: starts [rows, runs, D · M, 2] from what each run leaves that begins at zero (where they now lie) to
// the states with which runs begin: start ← Ā^span · start + left. A thread per row and mode, runs in order; h0 may be hT.
#include "s4d_kernel/powers.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let thread = id.x + id.y * groups.x * 64u;
  if (thread >= uniforms.rows * CHANNELS * MODES) {
    return;
  }
  let row = thread / (CHANNELS * MODES);
  let i = thread % (CHANNELS * MODES);
  let polar = polar_at(i);
  let decay = power_of(polar, uniforms.span);
  let rest = uniforms.tokens - (uniforms.runs - 1u) * uniforms.span;
  var h = vec2f(0.0);
#if HAS_H0
  h = vec2f(h0_load(2u * thread), h0_load(2u * thread + 1u));
#endif
  for (var run = 0u; run < uniforms.runs; run++) {
    let at = 2u * ((row * uniforms.runs + run) * CHANNELS * MODES + i);
    let left = vec2f(starts_load(at), starts_load(at + 1u));
    starts_store(at, h.x);
    starts_store(at + 1u, h.y);
    var power = decay;
    if (run + 1u == uniforms.runs) {
      power = power_of(polar, rest);
    }
    h = complex_product(power, h) + left;
  }
#if HAS_HT
  ht_store(2u * thread, h.x);
  ht_store(2u * thread + 1u, h.y);
#endif
}
