// transpose where the last axis stays, or is too short for tiles: one thread per unit of y, which walks AXES axes, the innermost
// first, of sizes size_k and strides stride_k in x.
#include "layout/units.wgsl"

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * WORKGROUP;
  if (i >= uniforms.count) {
    return;
  }
  var rest = i;
  var source = 0u;
#for A in 0..AXES
  source += (rest % uniforms.size_$A) * uniforms.stride_$A;
  rest /= uniforms.size_$A;
#endfor
  y_put(i, x_unit(source));
}
