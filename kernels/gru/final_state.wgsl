// hT [rows,H] = y [rows,T,H] of the last token, where hT lies over h0, which all workgroups of a step read. A thread per element.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i < uniforms.rows * HIDDEN) {
    ht_store(i, y_load((i / HIDDEN * uniforms.tokens + uniforms.tokens - 1u) * HIDDEN + i % HIDDEN));
  }
}
