// reduce over the middle axis: x [outer, count, columns] → y [outer, parts, columns], `count` cut into parts of `rows_each` rows.
// A workgroup has COLUMNS neighbouring units of columns of one part and SEGMENTS threads for each: thread (segment, column)
// combines every SEGMENTS-th row, then a tree in workgroup memory combines the segments.
#include "reduce/common.wgsl"

var<workgroup> segments: array<V, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let task = group.x + group.y * groups.x;
  let slice = task / uniforms.blocks;
  let column = (task % uniforms.blocks) * COLUMNS + thread % COLUMNS;
  let outer = slice / uniforms.parts;
  let first = (slice % uniforms.parts) * uniforms.rows_each;
  let end = min(first + uniforms.rows_each, uniforms.count);
  let inside = slice < uniforms.slices && column < uniforms.columns;
  var result = identity();
  if (inside) {
    let base = uniforms.skip + outer * uniforms.count * uniforms.columns + column;
    var row = first + thread / COLUMNS;
    // Four loads on their way at a time.
    for (; row + 3u * SEGMENTS < end; row += 4u * SEGMENTS) {
      let a = element(x_unit(base + row * uniforms.columns));
      let b = element(x_unit(base + (row + SEGMENTS) * uniforms.columns));
      let c = element(x_unit(base + (row + 2u * SEGMENTS) * uniforms.columns));
      let d = element(x_unit(base + (row + 3u * SEGMENTS) * uniforms.columns));
      result = combine(result, combine(combine(a, b), combine(c, d)));
    }
    for (; row < end; row += SEGMENTS) {
      result = combine(result, element(x_unit(base + row * uniforms.columns)));
    }
  }
#if SEGMENTS > 1
  segments[thread] = result;
  for (var step = SEGMENTS / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (thread < step * COLUMNS) {
      segments[thread] = combine(segments[thread], segments[thread + step * COLUMNS]);
    }
  }
  if (thread >= COLUMNS) {
    return;
  }
  result = segments[thread];
#endif
  if (inside) {
    y_put((uniforms.first + slice) * uniforms.columns + column, scaled(result));
  }
}
