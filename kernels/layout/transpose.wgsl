// transpose of planes: x [.., across, down] with strides (step_x, 1) → y with strides (1, step_y), for every index of AXES further
// axes. A workgroup moves a tile of TILE × TILE elements through workgroup memory, so that both sides are read and written
// along their contiguous axis; rows of the tile are padded by one against bank conflicts.
#include "layout/units.wgsl"

const ROWS = WORKGROUP / TILE;
var<workgroup> tile: array<V, TILE * (TILE + 1)>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let task = group.x + group.y * groups.x;
  let tiles = uniforms.tiles_across * uniforms.tiles_down;
  let first_across = (task % uniforms.tiles_across) * TILE;
  let first_down = (task / uniforms.tiles_across % uniforms.tiles_down) * TILE;
  var rest = task / tiles;
  var base_x = 0u;
  var base_y = 0u;
#for A in 0..AXES
  base_x += (rest % uniforms.size_$A) * uniforms.from_$A;
  base_y += (rest % uniforms.size_$A) * uniforms.to_$A;
  rest /= uniforms.size_$A;
#endfor
  // What is left over counts planes that are not there.
  let inside = rest == 0u;
  let line = thread / TILE;
  let lane = thread % TILE;
#for K in 0..TILE * TILE / WORKGROUP
  {
    let a = line + $K * ROWS;
    if (inside && first_across + a < uniforms.across && first_down + lane < uniforms.down) {
      tile[a * (TILE + 1) + lane] = x_load(base_x + (first_across + a) * uniforms.step_x + first_down + lane);
    }
  }
#endfor
  workgroupBarrier();
#for K in 0..TILE * TILE / WORKGROUP
  {
    let d = line + $K * ROWS;
    if (inside && first_across + lane < uniforms.across && first_down + d < uniforms.down) {
      y_store(base_y + (first_down + d) * uniforms.step_y + first_across + lane, tile[lane * (TILE + 1) + d]);
    }
  }
#endfor
}
