// dtaps [elements] = the sum over parts of parts [parts, elements], in order. A thread per element.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i < uniforms.elements) {
    var total = 0.0;
    for (var part = 0u; part < uniforms.parts; part++) {
      total += parts_load(part * uniforms.elements + i);
    }
    dtaps_store(i, total);
  }
}
