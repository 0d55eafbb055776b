// attention_gradient, dq = scale Σ_j dS_ij k_j with dS = P ∘ (dy vᵀ - D), P = exp(S - lse) (FlashAttention-2, Algorithm 2).
// As the forward pass: a workgroup takes 64 / LANES rows (queries times query heads of one key head), LANES threads a row, and
// walks over the keys that they see in tiles of TILE, unrolled.
#include "attention_gradient/tiles.wgsl"

const ROWS: u32 = 64u / LANES;

fn tile_x_at(b: u32, head: u32, key: u32, c: u32) -> vec4f {
  return k_at((b * uniforms.key_tokens + key) * KEY_HEADS + head, c);
}

#if HAS_DY
fn tile_z_at(b: u32, head: u32, key: u32, c: u32) -> vec4f {
  return v_at((b * uniforms.key_tokens + key) * KEY_HEADS + head, c);
}
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
#if LANES > 1
  let lane = local % LANES;
#else
  const lane = 0u;
#endif
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
  let own_x$c = q_at(index, $c * LANES + lane) * SCORE_SCALE;
  var dq$c = vec4f();
#endfor
#if HAS_DY
#for c in 0..V4
  let own_z$c = dy_at(index, $c * LANES + lane);
#endfor
#endif

  for (var key = low; key < high; key += i32(TILE)) {
    workgroupBarrier();
    stage(b, head, key, high, local);
    workgroupBarrier();
#include "attention_gradient/products.wgsl"
#for g in 0..QUADS
    let slope$g = score_slope(s$g);
    var p$g = exp2(capped(s$g) - lse);
    if (is_edge(key + 4 * $g, first_at, last_at, high)) {
      p$g = select(vec4f(), p$g, visible_keys(key + 4 * $g, at, high));
    }
    let ds$g = p$g * (d$g - delta) * slope$g;
#for c in 0..Q4
#for k in 0..4
    dq$c = ds$g[$k] * tile_x[(4 * $g + $k) * QV + $c * LANES + lane] + dq$c;
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
