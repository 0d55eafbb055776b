// rg_lru_gradient: dx = m dh, dlog_a = dh (a h₋ - x a² / m), dh₋ = a dh, back from the last token. A thread per channel.
#include "rg_lru/factor.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let thread = id.x + id.y * groups.x * 64u;
  if (thread >= uniforms.rows * CHANNELS) {
    return;
  }
  let row = thread / CHANNELS;
  let begin = row * uniforms.tokens * CHANNELS + thread % CHANNELS;
  let starts = starts_at(row);
  var dh = 0.0;
#if HAS_DHT
  dh = dht_load(thread);
#endif
  for (var t = uniforms.tokens; t > 0u; t--) {
    let at = begin + (t - 1u) * CHANNELS;
    let l = log_a_load(at);
    let a = exp(l);
#if HAS_DY
    dh += dy_load(at);
#endif
    var previous = 0.0;
    if (t > 1u) {
      previous = y_load(at - CHANNELS);
    }
#if HAS_H0
    if (t == 1u) {
      previous = h0_load(thread);
    }
#endif
    var factor = factor_of(l);
    var slope = a * a / max(factor, SMALLEST);
    if (t == 1u && starts) {
      factor = 1.0;
      slope = 0.0;
    }
#if HAS_DX
    dx_store(at, factor * dh);
#endif
#if HAS_DLOG_A
    dlog_a_store(at, dh * (a * previous - slope * x_load(at)));
#endif
    dh *= a;
  }
#if HAS_DH0
  dh0_store(thread, dh);
#endif
}
