// Where the rows and depths of a product are in memory: one after the other, or (GROUPED, see matmul/tiled.wgsl) where `order` says.
// A window of activations that no binding holds has rows `window` … `window + window_rows - 1` of the order's numbers.
#if GROUPED == 1
const NOWHERE = 0xffffffffu;
/// Numbers of the tile's rows; NOWHERE outside of the window.
var<workgroup> tile_rows: array<u32, TILE_M>;
/// Expert (counted from the dispatch's first), first place in the order, and how many rows: told to all threads by one, because
/// what decides about barriers may not come from memory that kernels write.
var<workgroup> tile_facts: vec3u;

/// Fills tile_rows with those of tile `tile` and returns the tile's facts. Expert e has tiles ⌊start / TILE_M⌋ + e and on, up to
/// those of e + 1: enough for all its rows, often one too many, and no sum over experts to find them.
fn find_rows(tile: u32, thread: u32) -> vec3u {
  if (thread == 0u) { tile_facts = vec3u(uniforms.batch, 0u, 0u); }
  workgroupBarrier();
  let base = u32(starts_load(uniforms.first_expert));
  for (var expert = thread; expert < uniforms.batch; expert += THREADS) {
    let first = u32(starts_load(uniforms.first_expert + expert));
    let end = u32(starts_load(uniforms.first_expert + expert + 1u));
    let own = (first - base) / TILE_M + expert;
    if (tile >= own && tile <= (end - base) / TILE_M + expert) {
      let start = min(first + (tile - own) * TILE_M, end);
      tile_facts = vec3u(expert, start, min(TILE_M, end - start));
    }
  }
  let facts = workgroupUniformLoad(&tile_facts);
  for (var i = thread; i < facts.z; i += THREADS) {
    let row = u32(order_load(facts.y + i));
    tile_rows[i] = select(NOWHERE, row, row - uniforms.window < uniforms.window_rows);
  }
  workgroupBarrier();
  return facts;
}

fn rows_end() -> u32 { return tile_facts.z; }
fn has_row(row: u32) -> bool { return tile_rows[row] != NOWHERE; }
fn a_row(row: u32) -> u32 { return tile_rows[row] / uniforms.a_per - uniforms.a_window; }
fn out_row(row: u32) -> u32 { return tile_rows[row] - uniforms.window; }
#else
fn rows_end() -> u32 { return uniforms.m; }
fn has_row(row: u32) -> bool { return true; }
fn a_row(row: u32) -> u32 { return row; }
fn out_row(row: u32) -> u32 { return row; }
#endif
#if GROUPED == 2
/// Where the depth of a matrix starts and ends, told as above.
var<workgroup> depth_range: vec2u;
fn find_depth(matrix: u32, thread: u32) -> vec2u {
  if (thread == 0u) {
    let expert = uniforms.first_expert + min(matrix, uniforms.batch - 1u);
    depth_range = vec2u(u32(starts_load(expert)), u32(starts_load(expert + 1u)));
  }
  return workgroupUniformLoad(&depth_range);
}
fn has_depth(depth: u32) -> bool { return u32(order_load(depth)) - uniforms.window < uniforms.window_rows; }
fn a_depth(depth: u32) -> u32 { return u32(order_load(depth)) / uniforms.a_per - uniforms.a_window; }
fn b_depth(depth: u32) -> u32 { return u32(order_load(depth)) / uniforms.b_per - uniforms.b_window; }
#else
fn has_depth(depth: u32) -> bool { return true; }
fn a_depth(depth: u32) -> u32 { return depth; }
fn b_depth(depth: u32) -> u32 { return depth; }
#endif
