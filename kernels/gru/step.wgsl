// gru, one token: h before it is y of the token before (FIRST: h0) -> y of the token, hT, gates. 8 units by 8 lanes per workgroup, for ROWS batch
// rows: a unit's lanes read its weights [3H,H] side by side, and lane r finishes row r.
#include "gru/cell.wgsl"

const LANES = 8u;

var<workgroup> sums: array<vec3f, 64 * ROWS>;

#if !FIRST || HAS_H0
fn before_load(row: u32, k: u32) -> f32 {
#if FIRST
  return h0_load(row * HIDDEN + k);
#else
  return y_load((row * uniforms.tokens + uniforms.token - 1u) * HIDDEN + k);
#endif
}
#endif

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let group = id.x + id.y * groups.x;
  let lane = local % LANES;
  let j = group % UNIT_GROUPS * 8u + local / LANES;
  let first_row = group / UNIT_GROUPS * ROWS;
#for r in 0..ROWS
  var sum_$r = vec3f(0.0);
  let row_$r = min(first_row + $r, uniforms.rows - 1u);
#endfor
#if !FIRST || HAS_H0
  if (j < HIDDEN) {
    for (var k = lane; k < HIDDEN; k += LANES) {
      let w = vec3f(
        weight_load(j * HIDDEN + k),
        weight_load((HIDDEN + j) * HIDDEN + k),
        weight_load((2u * HIDDEN + j) * HIDDEN + k),
      );
#for r in 0..ROWS
      sum_$r += before_load(row_$r, k) * w;
#endfor
    }
  }
#endif
#for r in 0..ROWS
  sums[$r * 64 + local] = sum_$r;
#endfor
  workgroupBarrier();
  let row = first_row + lane;
  if (lane >= ROWS || row >= uniforms.rows || j >= HIDDEN) {
    return;
  }
  var total = vec3f(0.0);
  for (var l = 0u; l < LANES; l++) {
    total += sums[lane * 64u + local - lane + l];
  }
  var before = 0.0;
#if !FIRST || HAS_H0
  before = before_load(row, j);
#endif
  let token = row * uniforms.tokens + uniforms.token;
  let after = cell(token, j, total, before);
  y_store(token * HIDDEN + j, after);
#if HAS_HT
  ht_store(row * HIDDEN + j, after);
#endif
}
