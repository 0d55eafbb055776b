// States from chunk to chunk: ends [B,chunks,D,N] hold what each chunk adds, and then the state at its start (REVERSE: the adjoint at
// its end, going back); sums [B,chunks,D] the ΣΔ of each chunk. From h0 to final, [B,D,N]. A thread walks four states of a channel.
#include "selective_scan/rates.wgsl"

const VECTORS = (STATES + 3u) / 4u;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= uniforms.count) {
    return;
  }
  let n = 4u * (i % VECTORS);
  let d = i / VECTORS % CHANNELS;
  let batch = i / VECTORS / CHANNELS;
  let rates = rates_at(d, n);
#if HAS_H0
  var carry = h0_row(uniforms.state_at + (batch * CHANNELS + d) * STATES, n);
#else
  var carry = vec4f();
#endif
  for (var step = 0u; step < uniforms.chunks; step++) {
#if REVERSE
    let chunk = uniforms.chunks - 1u - step;
#else
    let chunk = step;
#endif
    let place = (batch * uniforms.chunks + chunk) * CHANNELS + d;
    let row = uniforms.ends_at + place * STATES;
    let end = ends_row(row, n);
    ends_row_store(row, n, carry);
    carry = exp2(rates * sums_load(place)) * carry + end;
  }
#if HAS_FINAL
  final_row_store(uniforms.final_at + (batch * CHANNELS + d) * STATES, n, carry);
#endif
}
