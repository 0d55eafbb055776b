// gru_gradient, one token: dh after it -> dh before it [rows,H], and the token's dx, dGates, previous. 32 units by 8 lanes per workgroup, for ROWS
// batch rows. Every workgroup works out the recurrent gradients of all units, 256 at a time (little beside the weights [3H,H], of which it
// reads 32 columns), and writes those of its own units.
#include "gru/cell_gradient.wgsl"

const LANES = 8u;
const OWN = 32u;

var<workgroup> recurrent: array<vec3f, 256 * ROWS>;
var<workgroup> kept: array<f32, OWN * ROWS>;
var<workgroup> sums: array<f32, 256 * ROWS>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let group = id.x + id.y * groups.x;
  let own = group % UNIT_GROUPS * OWN;
  let first_row = group / UNIT_GROUPS * ROWS;
  let k = own + local % OWN;
  let lane = local / OWN;
#for r in 0..ROWS
  var sum_$r = 0.0;
#endfor
  for (var tile = 0u; tile < HIDDEN; tile += 256u) {
    workgroupBarrier();
    let j = tile + local;
    for (var r = 0u; r < ROWS; r++) {
      let row = first_row + r;
      if (j < HIDDEN && row < uniforms.rows) {
        let mine = j >= own && j < own + OWN;
        var later = 0.0;
#if HAS_AFTER
        later = after_load(row * HIDDEN + j);
#endif
        let cell = cell_gradient(row, uniforms.token, j, later, mine);
        recurrent[r * 256u + local] = cell.recurrent;
        if (mine) {
          kept[r * OWN + j - own] = cell.kept;
        }
      }
    }
    workgroupBarrier();
    if (k < HIDDEN) {
      let end = min(256u, HIDDEN - tile);
      for (var i = lane; i < end; i += LANES) {
        let at = (tile + i) * HIDDEN + k;
        let w = vec3f(
          weight_load(at),
          weight_load(at + HIDDEN * HIDDEN),
          weight_load(at + 2u * HIDDEN * HIDDEN),
        );
#for r in 0..ROWS
        sum_$r += dot(recurrent[$r * 256 + i], w);
#endfor
      }
    }
  }
#for r in 0..ROWS
  sums[$r * 256 + local] = sum_$r;
#endfor
  workgroupBarrier();
#if HAS_BEFORE
  let row = first_row + lane;
  if (lane < ROWS && row < uniforms.rows && k < HIDDEN) {
    var total = kept[lane * OWN + k - own];
    for (var l = 0u; l < LANES; l++) {
      total += sums[lane * 256u + l * OWN + k - own];
    }
    before_store(row * HIDDEN + k, total);
  }
#endif
}
