// wkv_gradient: the gradients of num and den (relative to e^-o) and of o, back from the last token. A thread per channel.
#include "wkv/exponent.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let thread = id.x + id.y * groups.x * 64u;
  if (thread >= uniforms.rows * CHANNELS) {
    return;
  }
  let row = thread / CHANNELS;
  let channel = thread % CHANNELS;
  let state = 3u * row * CHANNELS + channel;
  let w = w_load(channel);
  let u = u_load(channel);
  var d_num = 0.0;
  var d_den = 0.0;
  var d_o = 0.0;
#if HAS_DST
  d_num = dst_load(state);
  d_den = dst_load(state + CHANNELS);
  // With the true sums held fixed, the first two entries of the final state fall as its exponent grows.
  d_o = dst_load(state + 2u * CHANNELS) - d_num * st_load(state) - d_den * st_load(state + CHANNELS);
#endif
  var d_w = 0.0;
  var d_u = 0.0;
  var num = 0.0;
  var den = 0.0;
  for (var t = uniforms.tokens; t > 0u; t--) {
    let token = row * uniforms.tokens + t - 1u;
    let at = token * CHANNELS + channel;
    let before = 3u * token * CHANNELS + channel;
    let key = k_load(at);
    let value = v_load(at);
    num = states_load(before);
    den = states_load(before + CHANNELS);
    let old = exponent_of(den, states_load(before + 2u * CHANNELS));
    let o = max(w + old, key);
    let faded = exp(w + old - o);
    let added = exp(key - o);
    let is_old = w + old >= key;
    let top = max(old, u + key);
    let kept = exp(old - top);
    let fresh = exp(u + key - top);
    let sum = kept * den + fresh;
    let mean = (kept * num + fresh * value) / sum;
    var d_top = 0.0;
#if HAS_DY
    d_top = dy_load(at) / sum;
#endif
    let d_fresh = fresh * d_top * (value - mean);
#if HAS_DV
    dv_store(at, d_num * added + d_top * fresh);
#endif
#if HAS_DK
    dk_store(at, added * (d_num * value + d_den) + d_fresh + select(d_o, 0.0, is_old));
#endif
    d_o = select(0.0, d_o, is_old);
    d_w += faded * (d_num * num + d_den * den) + d_o;
    d_u += d_fresh;
    d_num = faded * d_num + kept * d_top;
    d_den = faded * d_den - kept * d_top * mean;
  }
#if HAS_DW
  dw_store(thread, d_w);
#endif
#if HAS_DU
  du_store(thread, d_u);
#endif
#if HAS_DS0
  ds0_store(state, d_num);
  ds0_store(state + CHANNELS, d_den);
  ds0_store(state + 2u * CHANNELS, d_o + d_num * num + d_den * den);
#endif
}
