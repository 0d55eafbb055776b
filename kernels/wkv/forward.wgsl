// wkv: num = e^w num + e^k v, den = e^w den + e^k, both relative to e^o; k, v, y [rows, T, D], states [.., 3, D] as (num, den, o), where a den of 0 is
// a sum of nothing. A thread per channel, so that neighbours read side by side, token by token.
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
  var num = 0.0;
  var den = 0.0;
  var o = 0.0;
#if HAS_S0
  num = s0_load(state);
  den = s0_load(state + CHANNELS);
  o = s0_load(state + 2u * CHANNELS);
#endif
  for (var t = 0u; t < uniforms.tokens; t++) {
    let token = row * uniforms.tokens + t;
    let at = token * CHANNELS + channel;
    let key = k_load(at);
    let value = v_load(at);
#if HAS_STATES
    let kept_at = 3u * token * CHANNELS + channel;
    states_store(kept_at, num);
    states_store(kept_at + CHANNELS, den);
    states_store(kept_at + 2u * CHANNELS, o);
#endif
    let old = exponent_of(den, o);
    let top = max(old, u + key);
    let kept = exp(old - top);
    let fresh = exp(u + key - top);
    y_store(at, (kept * num + fresh * value) / (kept * den + fresh));
    o = max(w + old, key);
    let faded = exp(w + old - o);
    let added = exp(key - o);
    num = faded * num + added * value;
    den = faded * den + added;
  }
#if HAS_ST
  st_store(state, num);
  st_store(state + CHANNELS, den);
  st_store(state + 2u * CHANNELS, o);
#endif
}
