// State passing of the SSD form (Mamba-2; Dao & Gu 2024): states[b,segment,head,key,value] holds what each segment of 64 tokens
// writes and becomes the state before it; the last state goes to `final`. One thread per element, over the segments in order.
const SPAN = 2u;
const LENGTH = 32u;

/// What a segment leaves of the state before it.
fn total_of(b: u32, segment: u32, h: u32, key: u32) -> f32 {
  var total = 1.0;
#if DECAY
  for (var c = segment * SPAN; c < segment * SPAN + SPAN; c++) {
    if (c * LENGTH < uniforms.time) {
      let row = (b * uniforms.time + min((c + 1u) * LENGTH, uniforms.time) - 1u) * uniforms.heads + h;
#if DECAY == 2
      total *= grow_load(row * uniforms.keys + key);
#else
      total *= grow_load(row);
#endif
    }
  }
#endif
  return total;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let e = id.x + id.y * groups.x * 64u;
  if (e >= uniforms.size) {
    return;
  }
  let per_batch = uniforms.heads * uniforms.keys * uniforms.values;
  let b = e / per_batch;
  let element = e % per_batch;
  let h = element / (uniforms.keys * uniforms.values);
  let key = element / uniforms.values % uniforms.keys;
  var state = 0.0;
#if HAS_S0
  state = s0_load(e);
#endif
  for (var segment = 0u; segment < uniforms.segments; segment++) {
    let at = (b * uniforms.segments + segment) * per_batch + element;
    let written = states_load(at);
    states_store(at, state);
    state = total_of(b, segment, h, key) * state + written;
  }
#if HAS_FINAL
  final_store(e, state);
#endif
}
