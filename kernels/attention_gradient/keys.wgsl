// attention_gradient, dk = scale Σ_i dS_ij q_i and dv = Σ_i P_ij dy_i with dS = P ∘ (dy vᵀ - D), P = exp(S - lse). A workgroup
// takes 64 / LANES keys of one key head, LANES threads a key, and walks in order over the rows (queries times the query heads
// of the key head) that see them in tiles of TILE, unrolled: sums over heads that share a key need no atomics.
#include "attention_gradient/tiles.wgsl"

const KEYS: u32 = 64u / LANES;

var<workgroup> tile_lse: array<f32, TILE>;
var<workgroup> tile_deltas: array<f32, TILE>;

/// Row of q, y and dy of row `row` of the key head.
fn row_index(b: u32, head: u32, row: u32) -> u32 {
  return (b * uniforms.query_tokens + row / GROUP) * QUERY_HEADS + head * GROUP + row % GROUP;
}

fn tile_x_at(b: u32, head: u32, row: u32, c: u32) -> vec4f {
  return q_at(row_index(b, head, row), c);
}

#if HAS_DY
fn tile_z_at(b: u32, head: u32, row: u32, c: u32) -> vec4f {
  return dy_at(row_index(b, head, row), c);
}
#endif

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let item = id.x + id.y * groups.x;
  if (item >= uniforms.items) {
    return;
  }
  // The first keys, which most rows see, come first.
  let head = item % KEY_HEADS;
  let b = item / KEY_HEADS % uniforms.batches;
  let first_key = item / (KEY_HEADS * uniforms.batches) * KEYS;
  let key = min(first_key + local / LANES, uniforms.key_tokens - 1u);
#if LANES > 1
  let lane = local % LANES;
#else
  const lane = 0u;
#endif
  let index = (b * uniforms.key_tokens + key) * KEY_HEADS + head;
  let shift = i32(uniforms.key_tokens) - i32(uniforms.query_tokens);
  let last_key = min(first_key + KEYS, uniforms.key_tokens) - 1u;
  // Queries whose position is between the first key and the end of the last key's window.
  var first_query = 0;
  var end_query = i32(uniforms.query_tokens);
#if CAUSAL
  first_query = max(0, i32(first_key) - shift);
#endif
#if WINDOW > 0
  end_query = min(end_query, i32(last_key) - shift + i32(WINDOW));
#endif
  let first_row = first_query * i32(GROUP);
  let end_row = end_query * i32(GROUP);

#for c in 0..Q4
  let own_x$c = k_at(index, $c * LANES + lane) * SCORE_SCALE;
  var dk$c = vec4f();
#endfor
#if HAS_DY
#for c in 0..V4
  let own_z$c = v_at(index, $c * LANES + lane);
#if HAS_DV
  var dv$c = vec4f();
#endif
#endfor
#endif

  for (var start = first_row; start < end_row; start += i32(TILE)) {
    workgroupBarrier();
    stage(b, head, start, end_row, local);
    if (local < TILE) {
      let row = row_index(b, head, u32(min(start + i32(local), end_row - 1)));
      tile_lse[local] = lse_load(row) * LOG2_E;
      tile_deltas[local] = deltas_load(row);
    }
    workgroupBarrier();
#include "attention_gradient/products.wgsl"
#for g in 0..QUADS
    let slope$g = score_slope(s$g);
    let lse$g = vec4f(tile_lse[4 * $g], tile_lse[4 * $g + 1], tile_lse[4 * $g + 2], tile_lse[4 * $g + 3]);
    let delta$g = vec4f(tile_deltas[4 * $g], tile_deltas[4 * $g + 1], tile_deltas[4 * $g + 2], tile_deltas[4 * $g + 3]);
    let row$g = start + 4 * $g + vec4i(0, 1, 2, 3);
    let at$g = shift + row$g / i32(GROUP);
    var sees$g = row$g < vec4i(end_row);
#if CAUSAL
    sees$g = sees$g & (at$g >= vec4i(i32(key)));
#endif
#if WINDOW > 0
    sees$g = sees$g & (at$g - i32(WINDOW) < vec4i(i32(key)));
#endif
    let p$g = select(vec4f(), exp2(capped(s$g) - lse$g), sees$g);
    let ds$g = p$g * (d$g - delta$g) * slope$g;
#if HAS_DV && HAS_DY
#for c in 0..V4
#for k in 0..4
    dv$c = p$g[$k] * tile_z[(4 * $g + $k) * VV + $c * LANES + lane] + dv$c;
#endfor
#endfor
#endif
#if HAS_DK
#for c in 0..Q4
#for k in 0..4
    dk$c = ds$g[$k] * tile_x[(4 * $g + $k) * QV + $c * LANES + lane] + dk$c;
#endfor
#endfor
#endif
#endfor
  }
  if (first_key + local / LANES >= uniforms.key_tokens) {
    return;
  }
#if HAS_DK
#for c in 0..Q4
  dk_put(index, $c * LANES + lane, dk$c * GRADIENT_SCALE);
#endfor
#endif
#if HAS_DV
#for c in 0..V4
#if HAS_DY
  dv_put(index, $c * LANES + lane, dv$c);
#else
  dv_put(index, $c * LANES + lane, vec4f());
#endif
#endfor
#endif
}
