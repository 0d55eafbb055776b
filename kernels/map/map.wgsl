// map: y [..] = expression(x0 [..], x1 [..], …), inputs broadcast. One thread per element, or per four along the innermost
// axis where every input has them side by side. The body of `compute` is generated (src/ops/map/webgpu.ts).
#if WIDTH == 4
alias V = vec4<f32>;
#else
alias V = f32;
#endif
#include "common/math.wgsl"

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * WORKGROUP;
  if (i < uniforms.count) {
    compute(i);
  }
}
