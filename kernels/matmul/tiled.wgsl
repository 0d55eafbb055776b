// matmul: out [batch, M, N] = A · B (+ bias), A [M, K] or [K, M], B [K, N] or [N, K], each a window of larger rows.
// A workgroup makes TILE_M × TILE_N of one product, over one of `splits` ranges of K; a thread THREAD_M × THREAD_N of it. Tiles of
// depth TILE_K go through workgroup memory, depth outermost; they are fetched as blocks of 4 × 4, turned in registers.
// GROUPED, for mixtures of experts, whose rows are sorted by expert in `order` and start at `starts` (matmul/grouped.wgsl):
//   1  a tile's rows are of one expert, which says which matrix of B they meet; row r of out reads row r / a_per of A
//   2  the depth of matrix e of the product is what expert e has: rows r / a_per of A [·, M], r / b_per of B [·, N]
const THREADS_M: u32 = TILE_M / THREAD_M;
const THREADS_N: u32 = TILE_N / THREAD_N;
const THREADS: u32 = THREADS_M * THREADS_N;
const BLOCKS_K: u32 = TILE_K / 4u;
const BLOCKS_M: u32 = TILE_M / 4u;
const BLOCKS_N: u32 = TILE_N / 4u;
const A_BLOCKS: u32 = BLOCKS_K * BLOCKS_M;
const B_BLOCKS: u32 = BLOCKS_K * BLOCKS_N;
// Neighbouring workgroups share columns of B while they go down this many tiles of rows.
const BAND: u32 = 8u;

var<workgroup> a_tile: array<vec4<f32>, TILE_K * BLOCKS_M>;
var<workgroup> b_tile: array<vec4<f32>, TILE_K * BLOCKS_N>;

#include "matmul/grouped.wgsl"

fn a_element(base: u32, row: u32, depth: u32, end: u32) -> f32 {
  if (row >= rows_end() || depth >= end) { return 0.0; }
#if TRANSPOSE_A
  if (!has_depth(depth)) { return 0.0; }
  return a_load(base + a_depth(depth) * uniforms.a_stride + row);
#else
  if (!has_row(row)) { return 0.0; }
  return a_load(base + a_row(row) * uniforms.a_stride + depth);
#endif
}

/// Column j holds rows row … row + 3 at depth + j.
fn a_block(base: u32, row: u32, depth: u32, end: u32) -> mat4x4<f32> {
  var block: mat4x4<f32>;
  for (var j = 0u; j < 4u; j++) {
#if !VECTOR_A
    block[j] = vec4<f32>(
      a_element(base, row, depth + j, end), a_element(base, row + 1u, depth + j, end),
      a_element(base, row + 2u, depth + j, end), a_element(base, row + 3u, depth + j, end));
#elif TRANSPOSE_A
    if (row < rows_end() && depth + j < end && has_depth(depth + j)) {
      block[j] = a_load4((base + a_depth(depth + j) * uniforms.a_stride + row) >> 2u);
    }
#else
    if (row + j < rows_end() && depth < end && has_row(row + j)) {
      block[j] = a_load4((base + a_row(row + j) * uniforms.a_stride + depth) >> 2u);
    }
#endif
  }
#if VECTOR_A && !TRANSPOSE_A
  return transpose(block);
#else
  return block;
#endif
}

fn b_element(base: u32, depth: u32, column: u32, end: u32) -> f32 {
  if (column >= uniforms.n || depth >= end) { return 0.0; }
#if TRANSPOSE_B
  return b_load(base + column * uniforms.b_stride + depth);
#else
  if (!has_depth(depth)) { return 0.0; }
  return b_load(base + b_depth(depth) * uniforms.b_stride + column);
#endif
}

/// Column j holds columns column … column + 3 at depth + j.
fn b_block(base: u32, depth: u32, column: u32, end: u32) -> mat4x4<f32> {
  var block: mat4x4<f32>;
  for (var j = 0u; j < 4u; j++) {
#if !VECTOR_B
    block[j] = vec4<f32>(
      b_element(base, depth + j, column, end), b_element(base, depth + j, column + 1u, end),
      b_element(base, depth + j, column + 2u, end), b_element(base, depth + j, column + 3u, end));
#elif TRANSPOSE_B
    if (column + j < uniforms.n && depth < end) { block[j] = b_load4((base + (column + j) * uniforms.b_stride + depth) >> 2u); }
#else
    if (column < uniforms.n && depth + j < end && has_depth(depth + j)) {
      block[j] = b_load4((base + b_depth(depth + j) * uniforms.b_stride + column) >> 2u);
    }
#endif
  }
#if VECTOR_B && TRANSPOSE_B
  return transpose(block);
#else
  return block;
#endif
}

#include "matmul/finish.wgsl"

@compute @workgroup_size(THREADS_N, THREADS_M)
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
  @builtin(local_invocation_id) place: vec3u,
) {
  // Workgroups go down a band of BAND tiles of rows, then along N, then to the next band, range of K and matrix.
  var number = id.x + id.y * groups.x;
#if GROUPED == 1
  // Neighbours share an expert's columns of B while they go down its rows.
  let first_column = number / uniforms.tiles_m * TILE_N;
  let facts = find_rows(number % uniforms.tiles_m, thread);
  let matrix = facts.x;
  let first_row = 0u;
  let split = 0u;
  let excess = facts.z == 0u || first_column >= uniforms.n;
#else
  let tiles = uniforms.tiles_m * uniforms.tiles_n;
  let slice = number / tiles;
  number = number % tiles;
  let matrix = slice / uniforms.splits;
  let split = slice % uniforms.splits;
  let band = number / (BAND * uniforms.tiles_n);
  let height = min(BAND, uniforms.tiles_m - band * BAND);
  let within = number - band * BAND * uniforms.tiles_n;
  let first_row = (band * BAND + within % height) * TILE_M;
  let first_column = within / height * TILE_N;
  let excess = matrix >= uniforms.batch;
#endif

  let a_base = uniforms.a_first + matrix * uniforms.a_matrix;
  let b_base = uniforms.b_first + matrix * uniforms.b_matrix;
#if GROUPED == 2
  let range = find_depth(matrix, thread);
  let start = range.x;
  let end = select(range.y, 0u, excess);
#else
  let start = split * uniforms.split_depth;
  let end = select(min(uniforms.k, start + uniforms.split_depth), 0u, excess);
#endif
  var sums: array<vec4<f32>, THREAD_M * THREAD_N / 4u>;

  for (var depth = start; depth < end; depth += TILE_K) {
    for (var block = thread; block < A_BLOCKS + B_BLOCKS; block += THREADS) {
      if (block < A_BLOCKS) {
#if TRANSPOSE_A
        let p = block / BLOCKS_M;
        let q = block % BLOCKS_M;
#else
        // Two lanes read 32 bytes of a row, the next two of the next row: turned, they go to different banks.
        let p = block % 2u + block / (2u * BLOCKS_M) * 2u;
        let q = block / 2u % BLOCKS_M;
#endif
        let values = a_block(a_base, first_row + 4u * q, depth + 4u * p, end);
        for (var j = 0u; j < 4u; j++) { a_tile[(4u * p + j) * BLOCKS_M + q] = values[j]; }
      } else {
#if TRANSPOSE_B
        let p = (block - A_BLOCKS) % 2u + (block - A_BLOCKS) / (2u * BLOCKS_N) * 2u;
        let q = (block - A_BLOCKS) / 2u % BLOCKS_N;
#else
        let p = (block - A_BLOCKS) / BLOCKS_N;
        let q = (block - A_BLOCKS) % BLOCKS_N;
#endif
        let values = b_block(b_base, depth + 4u * p, first_column + 4u * q, end);
        for (var j = 0u; j < 4u; j++) { b_tile[(4u * p + j) * BLOCKS_N + q] = values[j]; }
      }
    }
    workgroupBarrier();
    for (var p = 0u; p < TILE_K; p += UNROLL) {
#for u in 0..UNROLL
      {
#for i in 0..THREAD_M / 4
        let a$i = a_tile[(p + $u) * BLOCKS_M + place.y + $i * THREADS_M];
#endfor
#for j in 0..THREAD_N / 4
        let b$j = b_tile[(p + $u) * BLOCKS_N + place.x + $j * THREADS_N];
#endfor
#for i in 0..THREAD_M / 4
#for j in 0..THREAD_N / 4
#for r in 0..4
        sums[($i * 4 + $r) * (THREAD_N / 4u) + $j] += a$i[$r] * b$j;
#endfor
#endfor
#endfor
      }
#endfor
    }
    workgroupBarrier();
  }

  if (excess) { return; }
  let out_base = uniforms.out_first + matrix * uniforms.out_matrix + split * uniforms.out_split;
#for i in 0..THREAD_M / 4
#for r in 0..4
  {
    let row = first_row + 4u * (place.y + $i * THREADS_M) + $r;
    if (row < rows_end() && has_row(row)) {
#for j in 0..THREAD_N / 4
      finish4(out_base + out_row(row) * uniforms.out_stride, first_column + 4u * (place.x + $j * THREADS_N), sums[($i * 4u + $r) * (THREAD_N / 4u) + $j]);
#endfor
    }
  }
#endfor
#endfor
}
