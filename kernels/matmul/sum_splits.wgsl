// matmul, split over K: out [rows, N] = Σ_s partial [s, rows, N] (+ bias), the splits added in order. One thread for four columns
// of a row (VECTOR_OUT) or for one.
#if VECTOR_OUT
const WIDTH: u32 = 4u;
#else
const WIDTH: u32 = 1u;
#endif
#include "matmul/finish.wgsl"

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = (id.x + id.y * groups.x * WORKGROUP) * WIDTH;
  if (i >= uniforms.count) { return; }
  let row = i / uniforms.n;
  let column = i % uniforms.n;
  let base = uniforms.out_first + row * uniforms.out_stride;
#if VECTOR_OUT
  var sum = vec4<f32>();
  for (var split = 0u; split < uniforms.splits; split++) {
    sum += partial_load4((i + split * uniforms.count) >> 2u);
  }
  finish4(base, column, sum);
#else
  var sum = 0.0;
  for (var split = 0u; split < uniforms.splits; split++) {
    sum += partial_load(i + split * uniforms.count);
  }
  finish1(base, column, sum);
#endif
}
