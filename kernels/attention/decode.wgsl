// attention of few query rows over a long cache: ROWS rows (queries times the query heads of one key head) of one workgroup
// walk over a part of the keys in tiles of KEYS. Scores: 4 threads a key, neighbours reading neighbouring vec4s. Outputs: a
// thread for each vec4 of values and each of COLUMN_GROUPS groups of keys. One part writes y, several leave sums for reduce.wgsl.
#include "attention/keys.wgsl"

const COLUMN_GROUPS: u32 = WORKGROUP / VV;

var<workgroup> queries: array<vec4f, ROWS * QV>;
var<workgroup> lane_scores: array<f32, KEYS * ROWS * 4u>;
/// Scores, then weights, of key and row.
var<workgroup> scores: array<f32, KEYS * ROWS>;
var<workgroup> quad_maxima: array<f32, KEYS / 4u * ROWS>;
var<workgroup> group_outputs: array<vec4f, WORKGROUP>;
var<workgroup> group_totals: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let item = id.x + id.y * groups.x;
  if (item >= uniforms.items) {
    return;
  }
  let work = work_of(item);
  let head = work.head;
  let b = work.b;
  let first_row = work.tile * ROWS;
  let rows = uniforms.query_tokens * GROUP;
  let first_index = b * uniforms.query_tokens * QUERY_HEADS + head * GROUP;
  let before = tokens_before(b, local);
  let shift = before + i32(uniforms.key_tokens) - i32(uniforms.query_tokens);
  let first_at = shift + i32(first_row / GROUP);
  let last_at = shift + i32((min(first_row + ROWS, rows) - 1u) / GROUP);
  let seen = seen_keys(first_at, last_at, before, work.split);

  for (var n = local; n < ROWS * QV; n += WORKGROUP) {
    let row = first_row + n / QV;
    var x = vec4f();
    if (row < rows) {
      x = q_at(first_index + row / GROUP * QUERY_HEADS + row % GROUP, n % QV) * SCORE_SCALE;
    }
    queries[n] = x;
  }
  // The row and its maximum whose weights this thread computes.
  let own = local % ROWS;
  let own_at = shift + i32((first_row + own) / GROUP);
#for r in 0..ROWS
  var top$r = FIRST_MAXIMUM;
  var total$r = 0.0;
  var out$r = vec4f();
#endfor
#if HAS_SINK
  if (uniforms.first_split + work.split == 0u) {
#for r in 0..ROWS
    top$r = sink_load(head * GROUP + min(first_row + $r, rows - 1u) % GROUP) * LOG2_E;
    total$r = select(0.0, 1.0, local < VV);
#endfor
  }
#endif
  workgroupBarrier();

  let column = local % VV;
  let column_group = local / VV;
  for (var key = seen.x; key < seen.y; key += i32(KEYS)) {
    let count = u32(min(i32(KEYS), seen.y - key));
    for (var j = local / 4u; j < KEYS; j += WORKGROUP / 4u) {
#for r in 0..ROWS
      var s$r = vec4f();
#endfor
      if (j < count) {
        for (var c = local % 4u; c < QV; c += 4u) {
          let x = key_at(b, key + i32(j), before, head, c);
#for r in 0..ROWS
          s$r = fma(queries[$r * QV + c], x, s$r);
#endfor
        }
      }
#for r in 0..ROWS
      lane_scores[(j * ROWS + $r) * 4u + local % 4u] = sum4(s$r);
#endfor
    }
    workgroupBarrier();
    if (local < KEYS / 4u * ROWS) {
      let quad = local / ROWS;
      var s = vec4f();
#for k in 0..4
      let at$k = ((quad * 4u + $k) * ROWS + own) * 4u;
      s[$k] = (lane_scores[at$k] + lane_scores[at$k + 1u]) + (lane_scores[at$k + 2u] + lane_scores[at$k + 3u]);
#endfor
      s = select(vec4f(MASKED), capped(s), visible_keys(key + i32(quad * 4u), own_at, seen.y));
#for k in 0..4
      scores[(quad * 4u + $k) * ROWS + own] = s[$k];
#endfor
      quad_maxima[local] = max(max(s.x, s.y), max(s.z, s.w));
    }
    workgroupBarrier();
    var own_top = 0.0;
#for r in 0..ROWS
    var most$r = top$r;
    for (var quad = 0u; quad < KEYS / 4u; quad++) {
      most$r = max(most$r, quad_maxima[quad * ROWS + $r]);
    }
    let factor$r = exp2(top$r - most$r);
    top$r = most$r;
    own_top = select(own_top, most$r, own == $r);
#endfor
    for (var n = local; n < KEYS * ROWS; n += WORKGROUP) {
      let s = scores[n];
      scores[n] = select(exp2(s - own_top), 0.0, s <= MASKED);
    }
    workgroupBarrier();
#for r in 0..ROWS
    out$r *= factor$r;
    total$r *= factor$r;
#endfor
    if (column_group < COLUMN_GROUPS) {
      for (var j = column_group; j < count; j += COLUMN_GROUPS) {
        let x = value_at(b, key + i32(j), before, head, column);
#for r in 0..ROWS
        let p$r = scores[j * ROWS + $r];
        out$r = fma(vec4f(p$r), x, out$r);
        total$r += p$r;
#endfor
      }
    }
  }

  for (var r = 0u; r < ROWS; r++) {
    var own_output = out0;
    var own_total = total0;
    var row_top = top0;
#for r in 1..ROWS
    if (r == $r) {
      own_output = out$r;
      own_total = total$r;
      row_top = top$r;
    }
#endfor
    workgroupBarrier();
    group_outputs[local] = own_output;
    group_totals[local] = own_total;
    workgroupBarrier();
    let row = first_row + r;
    if (local < VV && row < rows) {
      var sum = group_outputs[local];
      var total = group_totals[local];
      for (var g = 1u; g < COLUMN_GROUPS; g++) {
        sum += group_outputs[g * VV + local];
        total += group_totals[g * VV + local];
      }
      let index = first_index + row / GROUP * QUERY_HEADS + row % GROUP;
#if PARTIAL
      let to = (uniforms.first_split + work.split) * uniforms.all_rows + index;
      outputs_store4(to * VV + local, sum);
      if (local == 0u) {
        sums_store(2u * to, row_top);
        sums_store(2u * to + 1u, total);
      }
#else
      y_put(index, local, sum * inverse_of(total));
#if HAS_LSE
      if (local == 0u) {
        lse_store(index, log_sum(row_top, total));
      }
#endif
#endif
    }
  }
}
