// attention_gradient, dq = scale Σ_j dS_ij k_j with dS = P ∘ (dy vᵀ - D), P = exp(S - lse) (FlashAttention-2, Algorithm 2).
// As the forward pass: a workgroup takes 64 / LANES rows (queries times query heads of one key head), LANES threads a row, and
// walks over the keys that they see in tiles of TILE, unrolled.
#include "attention/scores.wgsl"

const ROWS: u32 = 64u / LANES;

var<workgroup> tile_keys: array<vec4f, TILE * QV>;
var<workgroup> tile_values: array<vec4f, TILE * VV>;
#if LANES > 1
var<workgroup> lane_scores: array<vec4f, TILE * 16u>;
var<workgroup> lane_slopes: array<vec4f, TILE * 16u>;
#endif

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let item = id.x + id.y * groups.x;
  if (item >= uniforms.items) {
    return;
  }
  let head = item % KEY_HEADS;
  let b = item / KEY_HEADS % uniforms.batches;
  let first_row = (uniforms.tiles - 1u - item / (KEY_HEADS * uniforms.batches)) * ROWS;
  let rows = uniforms.query_tokens * GROUP;
  let row = min(first_row + local / LANES, rows - 1u);
  let lane = local % LANES;
  let index = (b * uniforms.query_tokens + row / GROUP) * QUERY_HEADS + head * GROUP + row % GROUP;
  let shift = i32(uniforms.key_tokens) - i32(uniforms.query_tokens);
  let at = shift + i32(row / GROUP);
  let first_at = shift + i32(first_row / GROUP);
  let last_at = shift + i32((min(first_row + ROWS, rows) - 1u) / GROUP);
  var low = 0;
  var high = i32(uniforms.key_tokens);
#if CAUSAL
  high = min(high, last_at + 1);
#endif
#if WINDOW > 0
  low = max(low, first_at - i32(WINDOW) + 1);
#endif

  let lse = lse_load(index) * LOG2_E;
  let delta = deltas_load(index);
#for c in 0..Q4
  let q$c = q_at(index, $c * LANES + lane) * SCORE_SCALE;
  var dq$c = vec4f();
#endfor
#if HAS_DY
#for c in 0..V4
  let dy$c = dy_at(index, $c * LANES + lane);
#endfor
#endif

  for (var key = low; key < high; key += i32(TILE)) {
    workgroupBarrier();
    for (var n = local; n < TILE * QV; n += 64u) {
      let j = key + i32(n / QV);
      var x = vec4f();
      if (j < high) {
        x = k_at((b * uniforms.key_tokens + u32(j)) * KEY_HEADS + head, n % QV);
      }
      tile_keys[n] = x;
    }
#if HAS_DY
    for (var n = local; n < TILE * VV; n += 64u) {
      let j = key + i32(n / VV);
      var x = vec4f();
      if (j < high) {
        x = v_at((b * uniforms.key_tokens + u32(j)) * KEY_HEADS + head, n % VV);
      }
      tile_values[n] = x;
    }
#endif
    workgroupBarrier();
#for g in 0..QUADS
    var s$g: vec4f;
    var d$g: vec4f;
    {
#for k in 0..4
    var a$k = vec4f();
    var e$k = vec4f();
#endfor
#for c in 0..Q4
#for k in 0..4
#if LANES > 1
    a$k = q$c * tile_keys[(4 * $g + $k) * QV + $c * LANES + lane] + a$k;
#else
    a$k = q$c * tile_keys[(4 * $g + $k) * QV + $c] + a$k;
#endif
#endfor
#endfor
#if HAS_DY
#for c in 0..V4
#for k in 0..4
#if LANES > 1
    e$k = dy$c * tile_values[(4 * $g + $k) * VV + $c * LANES + lane] + e$k;
#else
    e$k = dy$c * tile_values[(4 * $g + $k) * VV + $c] + e$k;
#endif
#endfor
#endfor
#endif
    s$g = vec4f(sum4(a0), sum4(a1), sum4(a2), sum4(a3));
    d$g = vec4f(sum4(e0), sum4(e1), sum4(e2), sum4(e3));
    }
#if LANES > 1
    lane_scores[$g * 64 + local] = s$g;
    lane_slopes[$g * 64 + local] = d$g;
#endif
#endfor
#if LANES > 1
    workgroupBarrier();
#endif
#for g in 0..QUADS
#if LANES > 1
    s$g = lane_scores[$g * 64 + local - lane];
    d$g = lane_slopes[$g * 64 + local - lane];
#for l in 1..LANES
    s$g += lane_scores[$g * 64 + local - lane + $l];
    d$g += lane_slopes[$g * 64 + local - lane + $l];
#endfor
#endif
    let slope$g = score_slope(s$g);
    var p$g = exp2(capped(s$g) - lse);
    if (is_edge(key + 4 * $g, first_at, last_at, high)) {
      p$g = select(vec4f(), p$g, visible_keys(key + 4 * $g, at, high));
    }
    let ds$g = p$g * (d$g - delta) * slope$g;
#for c in 0..Q4
#for k in 0..4
#if LANES > 1
    dq$c = ds$g[$k] * tile_keys[(4 * $g + $k) * QV + $c * LANES + lane] + dq$c;
#else
    dq$c = ds$g[$k] * tile_keys[(4 * $g + $k) * QV + $c] + dq$c;
#endif
#endfor
#endfor
#endfor
  }
  if (first_row + local / LANES >= rows) {
    return;
  }
#for c in 0..Q4
  dq_put(index, $c * LANES + lane, dq$c * GRADIENT_SCALE);
#endfor
}
