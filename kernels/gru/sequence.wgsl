// gru: x [rows,T,3H], transposed weight [H,3H] -> y [rows,T,H], hT, gates [rows,T,4H]. A workgroup per ROWS batch rows walks through time with h in
// workgroup memory; UNITS threads beside each other take a unit each (or several one after the other), LANES of them share a unit's sums. A
// weight that is read serves ROWS rows.
#include "gru/cell.wgsl"

var<workgroup> h: array<f32, 2 * ROWS * HIDDEN>;
#if LANES > 1
var<workgroup> sums: array<vec3f, WORKGROUP * ROWS>;
#endif

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let first_row = (id.x + id.y * groups.x) * ROWS;
  let unit = local % UNITS;
  let lane = local / UNITS;
  for (var i = local; i < ROWS * HIDDEN; i += WORKGROUP) {
    var value = 0.0;
#if HAS_H0
    if (first_row + i / HIDDEN < uniforms.rows) {
      value = h0_load(first_row * HIDDEN + i);
    }
#endif
    h[i] = value;
  }
  var now = 0u;
  for (var t = 0u; t < uniforms.tokens; t++) {
    let next = ROWS * HIDDEN - now;
    workgroupBarrier();
    for (var start = 0u; start < PADDED_UNITS; start += UNITS) {
      let j = start + unit;
#for r in 0..ROWS
      var sum_$r = vec3f(0.0);
#endfor
      if (j < HIDDEN) {
        let end = min(HIDDEN, (lane + 1u) * DEPTH);
        for (var k = lane * DEPTH; k < end; k++) {
          let at = k * 3u * HIDDEN + j;
          let w = vec3f(transposed_load(at), transposed_load(at + HIDDEN), transposed_load(at + 2u * HIDDEN));
#for r in 0..ROWS
          sum_$r += h[now + $r * HIDDEN + k] * w;
#endfor
        }
      }
#if LANES > 1
#for r in 0..ROWS
      sums[$r * WORKGROUP + local] = sum_$r;
#endfor
      workgroupBarrier();
      for (var r = lane; r < ROWS; r += LANES) {
        var total = vec3f(0.0);
        for (var l = 0u; l < LANES; l++) {
          total += sums[r * WORKGROUP + l * UNITS + unit];
        }
        finish(first_row, r, t, j, total, now, next);
      }
#else
#for r in 0..ROWS
      finish(first_row, $r, t, j, sum_$r, now, next);
#endfor
#endif
    }
    now = next;
  }
#if HAS_HT
  workgroupBarrier();
  for (var i = local; i < ROWS * HIDDEN; i += WORKGROUP) {
    if (first_row + i / HIDDEN < uniforms.rows) {
      ht_store(first_row * HIDDEN + i, h[now + i]);
    }
  }
#endif
}

fn finish(first_row: u32, r: u32, t: u32, j: u32, products: vec3f, now: u32, next: u32) {
  let row = first_row + r;
  if (j >= HIDDEN || row >= uniforms.rows) {
    return;
  }
  let token = row * uniforms.tokens + t;
  let after = cell(token, j, products, h[now + r * HIDDEN + j]);
  h[next + r * HIDDEN + j] = after;
  y_store(token * HIDDEN + j, after);
}
