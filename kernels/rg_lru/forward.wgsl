// rg_lru: h = a h + m x; x, log_a, y [rows, T, D], h [rows, D]. A thread per channel, so that neighbours read side by side, token by token.
#include "rg_lru/factor.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let thread = id.x + id.y * groups.x * 64u;
  if (thread >= uniforms.rows * CHANNELS) {
    return;
  }
  let row = thread / CHANNELS;
  var at = row * uniforms.tokens * CHANNELS + thread % CHANNELS;
  let starts = starts_at(row);
  var h = 0.0;
#if HAS_H0
  h = h0_load(thread);
#endif
  for (var t = 0u; t < uniforms.tokens; t++) {
    let l = log_a_load(at);
    h = exp(l) * h + select(factor_of(l), 1.0, t == 0u && starts) * x_load(at);
    y_store(at, h);
    at += CHANNELS;
  }
#if HAS_HT
  ht_store(thread, h);
#endif
}
