// attention, forward: y = softmax(scale q kᵀ) v and log-sum-exp by online softmax (FlashAttention-2, arXiv:2307.08691, Algorithm 1).
// q [B,Tq,Hq,d], k [B,Tk,Hk,d], v [B,Tk,Hk,dv], ring caches [B,Cap,Hk,·]. A workgroup takes 64 / LANES rows (queries times
// the query heads of one key head) and walks over the keys that they see in tiles of KEYS, staged in workgroup memory;
// LANES threads share a row, each with every LANES-th vec4 of its channels. With PARTIAL also one of several parts of the keys.
// Tiles are small and unrolled: workgroup memory is read at constant places, which all lanes share.
#include "attention/tiles.wgsl"

const ROWS: u32 = 64u / LANES;
#if LANES > 1
var<workgroup> lane_scores: array<vec4f, KEYS * 16u>;
#endif

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let item = id.x + id.y * groups.x;
  if (item >= uniforms.items) {
    return;
  }
  let work = work_of(item);
  let head = work.head;
  let b = work.b;
  // The last rows, which see most keys, come first.
  let first_row = (uniforms.tiles - 1u - work.tile) * ROWS;
  let rows = uniforms.queries * GROUP;
  let row = min(first_row + local / LANES, rows - 1u);
#if LANES > 1
  let lane = local % LANES;
#else
  const lane = 0u;
#endif
  let query = uniforms.first_query + row / GROUP;
  let query_head = head * GROUP + row % GROUP;
  let index = (b * uniforms.query_tokens + query) * QUERY_HEADS + query_head;
  let bound_index = index - uniforms.origin * QUERY_HEADS;

  let before = tokens_before(b, local);
  let shift = before + i32(uniforms.key_tokens) - i32(uniforms.query_tokens) + i32(uniforms.first_query);
  let at = shift + i32(row / GROUP);
  let first_at = shift + i32(first_row / GROUP);
  let last_at = shift + i32((min(first_row + ROWS, rows) - 1u) / GROUP);
  let seen = seen_keys(first_at, last_at, before, work.split);

#for c in 0..Q4
  let q$c = q_at(bound_index, $c * LANES + lane) * SCORE_SCALE;
#endfor
#for c in 0..V4
  var out$c = vec4f();
#endfor
  var top = FIRST_MAXIMUM;
  var total = 0.0;
#if HAS_SINK
  if (uniforms.first_split + work.split == 0u) {
    top = sink_load(query_head) * LOG2_E;
    total = 1.0;
  }
#endif

  for (var key = seen.x; key < seen.y; key += i32(KEYS)) {
    workgroupBarrier();
    stage(b, head, key, seen.y, before, local);
    workgroupBarrier();
#if LANES > 1
#for g in 0..QUADS
    {
      const j = 4u * $g;
#for k in 0..4
      var s$k = vec4f();
#endfor
#for c in 0..Q4
#for k in 0..4
      s$k = q$c * tile_keys[(j + $k) * QV + $c * LANES + lane] + s$k;
#endfor
#endfor
      lane_scores[j * 16u + local] = vec4f(sum4(s0), sum4(s1), sum4(s2), sum4(s3));
    }
#endfor
    workgroupBarrier();
#endif
#for g in 0..QUADS
    {
      const j = 4u * $g;
#if LANES > 1
      let lanes = j * 16u + (local - lane);
      var s = lane_scores[lanes];
#for l in 1..LANES
      s += lane_scores[lanes + $l];
#endfor
#else
#for k in 0..4
      var s$k = vec4f();
#endfor
#for c in 0..Q4
#for k in 0..4
      s$k = q$c * tile_keys[(j + $k) * QV + $c * LANES + lane] + s$k;
#endfor
#endfor
      var s = vec4f(sum4(s0), sum4(s1), sum4(s2), sum4(s3));
#endif
      s = capped(s);
      // Four keys that all rows see need no mask.
      let begin = key + i32(j);
      let edge = is_edge(begin, first_at, last_at, seen.y);
      let visible = visible_keys(begin, at, seen.y);
      if (edge) {
        s = select(vec4f(MASKED), s, visible);
      }
      let most = max(max(s.x, s.y), max(s.z, s.w));
      if (most > top + SLACK) {
        let factor = exp2(top - most);
        top = most;
        total *= factor;
#for c in 0..V4
        out$c *= factor;
#endfor
      }
      var p = exp2(s - top);
      if (edge) {
        p = select(vec4f(), p, visible);
      }
      total += sum4(p);
#for c in 0..V4
#for k in 0..4
      out$c = p[$k] * tile_values[(j + $k) * VV + $c * LANES + lane] + out$c;
#endfor
#endfor
    }
#endfor
  }

  if (first_row + local / LANES >= rows) {
    return;
  }
#if PARTIAL
  let to = (uniforms.first_split + work.split) * uniforms.all_rows + index;
#for c in 0..V4
  if ($c * LANES + lane < V_VECTORS) {
    outputs_store4(to * V_VECTORS + $c * LANES + lane, out$c);
  }
#endfor
  if (lane == 0u) {
    sums_store(2u * to, top);
    sums_store(2u * to + 1u, total);
  }
#else
  let inverse = inverse_of(total);
#for c in 0..V4
  y_put(bound_index, $c * LANES + lane, out$c * inverse);
#endfor
#if HAS_LSE
  if (lane == 0u) {
    lse_store(index, log_sum(top, total));
  }
#endif
#endif
}
