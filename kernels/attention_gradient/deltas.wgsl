// attention_gradient, first part: D = rowsum(dy ∘ y) - dlse of each row (batch row, query, head). A thread a row, which adds up
// in the order in which the other parts add up dy·v: where a row sees one key only, y = v, the two cancel exactly.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let row = id.x + id.y * groups.x * 64u;
  if (row >= uniforms.rows) {
    return;
  }
  var delta = 0.0;
#if HAS_DY
  for (var lane = 0u; lane < LANES; lane++) {
    var sum = vec4f();
#for c in 0..V4
    sum = dy_at(row, $c * LANES + lane) * y_at(row, $c * LANES + lane) + sum;
#endfor
    delta += (sum.x + sum.y) + (sum.z + sum.w);
  }
#endif
#if HAS_DLSE
  delta -= dlse_load(row);
#endif
  deltas_store(row, delta);
}
