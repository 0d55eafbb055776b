// dw [C,TAPS] and d bias [C] from partial sums [parts,TAPS+1,C], added in order. A thread takes one element.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= (TAPS + 1u) * CHANNELS) {
    return;
  }
  var sum = 0.0;
  for (var p = 0u; p < uniforms.parts; p++) {
    sum += parts_load(p * (TAPS + 1u) * CHANNELS + i);
  }
  let c = i % CHANNELS;
  if (i < TAPS * CHANNELS) {
#if HAS_DW
    let at = c * TAPS + i / CHANNELS;
#if ADD
    sum += dw_load(at);
#endif
    dw_store(at, sum);
#endif
  } else {
#if HAS_DBIAS
#if ADD
    sum += dbias_load(c);
#endif
    dbias_store(c, sum);
#endif
  }
}
