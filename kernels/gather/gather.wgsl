// gather: y [count, D] = rows of table [TABLE_ROWS, D] by indices [count]. One thread per unit of y: the threads of a row share its
// index, and read and write side by side. A table larger than a binding comes in several dispatches, each of which writes the
// rows it has; the first writes NaN for indices that are no row.
#include "common/units.wgsl"

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * WORKGROUP;
  if (i >= uniforms.count) {
    return;
  }
  // A negative index is a very large one.
  let row = u32(indices_load(uniforms.first_index + i / UNITS));
  if (row >= TABLE_ROWS) {
    if (uniforms.first_row == 0u) {
      y_put(i, V(bitcast<f32>(0x7fc00000u + uniforms.zero)));
    }
  } else if (row >= uniforms.first_row && row - uniforms.first_row < uniforms.rows) {
    y_put(i, table_unit((row - uniforms.first_row) * UNITS + i % UNITS));
  }
}
