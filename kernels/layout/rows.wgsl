// slice, slice_gradient and concat: rows of y put together from COUNT inputs. Columns begin_k … end_k - 1 of a row of y are columns
// offset_k … of the row of x_k; what no input covers is zero. One thread per unit of columns first_y … first_y + columns - 1
// of y. piece_k reads x_k (src/ops/slice/rows.ts).
#include "layout/units.wgsl"

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * WORKGROUP;
  if (i >= uniforms.count) {
    return;
  }
  let row = i / uniforms.columns;
  let column = i % uniforms.columns + uniforms.first_y;
  var value = V(0);
#for K in 0..COUNT
  if (column >= uniforms.begin_$K && column < uniforms.end_$K) {
    value = piece_$K(row * uniforms.stride_$K + uniforms.offset_$K + column - uniforms.begin_$K);
  }
#endfor
  y_put(row * uniforms.stride_y + column, value);
}
