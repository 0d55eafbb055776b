// y[e] = sum over n < COUNT of x[outer(e) * outer_step + n * part_step + e % inner], in order, plus y[e] where ADD: gradients of
// what several heads share, and parts that workgroups left. One thread per element.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let e = id.x + id.y * groups.x * 64u;
  if (e >= uniforms.size) {
    return;
  }
#if ADD
  var sum = y_load(e);
#else
  var sum = 0.0;
#endif
  let source = e / uniforms.inner * uniforms.outer_step + e % uniforms.inner;
  for (var n = 0u; n < COUNT; n++) {
    sum += x_load(source + n * uniforms.part_step);
  }
  y_store(e, sum);
}
