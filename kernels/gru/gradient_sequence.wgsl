// gru_gradient: w_hh [3H,H], y, gates, h0?, dy?, dhT? -> dx, dGates [rows,T,3H], dh0 [rows,H], previous [rows,T,H]. A workgroup per ROWS batch rows walks
// back through time with dh and the recurrent gradients in workgroup memory; UNITS threads beside each other take a unit each (or several),
// whose column of weights they read side by side; LANES of them share a unit's sum.
#include "gru/cell_gradient.wgsl"

var<workgroup> dh: array<f32, ROWS * HIDDEN>;
var<workgroup> recurrent: array<f32, 3 * ROWS * HIDDEN>;
#if LANES > 1
var<workgroup> sums: array<f32, WORKGROUP * ROWS>;
#endif

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let first_row = (id.x + id.y * groups.x) * ROWS;
  let unit = local % UNITS;
  let lane = local / UNITS;
  for (var i = local; i < ROWS * HIDDEN; i += WORKGROUP) {
    var value = 0.0;
#if HAS_DHT
    if (first_row + i / HIDDEN < uniforms.rows) {
      value = dht_load(first_row * HIDDEN + i);
    }
#endif
    dh[i] = value;
  }
  for (var t = uniforms.tokens; t > 0u; t--) {
    workgroupBarrier();
    for (var i = local; i < ROWS * HIDDEN; i += WORKGROUP) {
      let r = i / HIDDEN;
      let j = i % HIDDEN;
      let row = first_row + r;
      if (row < uniforms.rows) {
        let cell = cell_gradient(row, t - 1u, j, dh[i], true);
        recurrent[3u * r * HIDDEN + j] = cell.recurrent.x;
        recurrent[(3u * r + 1u) * HIDDEN + j] = cell.recurrent.y;
        recurrent[(3u * r + 2u) * HIDDEN + j] = cell.recurrent.z;
        dh[i] = cell.kept;
      }
    }
    workgroupBarrier();
    for (var start = 0u; start < PADDED_UNITS; start += UNITS) {
      let k = start + unit;
#for r in 0..ROWS
      var sum_$r = 0.0;
#endfor
      if (k < HIDDEN) {
        let end = min(3u * HIDDEN, (lane + 1u) * DEPTH);
        for (var i = lane * DEPTH; i < end; i++) {
          let w = weight_load(i * HIDDEN + k);
#for r in 0..ROWS
          sum_$r += recurrent[$r * 3 * HIDDEN + i] * w;
#endfor
        }
      }
#if LANES > 1
#for r in 0..ROWS
      sums[$r * WORKGROUP + local] = sum_$r;
#endfor
      workgroupBarrier();
      for (var r = lane; r < ROWS; r += LANES) {
        var total = 0.0;
        for (var l = 0u; l < LANES; l++) {
          total += sums[r * WORKGROUP + l * UNITS + unit];
        }
        if (k < HIDDEN) {
          dh[r * HIDDEN + k] += total;
        }
      }
#else
      if (k < HIDDEN) {
#for r in 0..ROWS
        dh[$r * HIDDEN + k] += sum_$r;
#endfor
      }
#endif
    }
  }
#if HAS_DH0
  workgroupBarrier();
  for (var i = local; i < ROWS * HIDDEN; i += WORKGROUP) {
    if (first_row + i / HIDDEN < uniforms.rows) {
      dh0_store(first_row * HIDDEN + i, dh[i]);
    }
  }
#endif
}
