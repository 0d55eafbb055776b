// Per chunk of 32 tokens: pairs[b,chunk,output] = (q_i . k_j) left(i, j), j <= i, for every reader of the state; for the delta
// rules also keys[b,chunk,head] = (k_i . k_j) left(i, j), j < i, and inverse = (I + diag(beta) keys)^-1 (the WY form; Yang et al.
// 2024, arXiv:2406.06484). A workgroup of 64 threads per (b, chunk, head): 4 x 4 pairs each, or with decay per key a row each.
#include "linear_attention/heads.wgsl"
const LENGTH = 32u;
const DEPTH = 16u;
const STRIDE = 9u;
const ROW = 33u;
#if DECAY == 1
#include "linear_attention/marks.wgsl"
#endif
// Left and right operands, [DEPTH keys][LENGTH tokens], and with decay per key what one token leaves.
var<workgroup> left_slab: array<vec4<f32>, DEPTH * STRIDE>;
var<workgroup> right_slab: array<vec4<f32>, DEPTH * STRIDE>;
#if DECAY == 2
var<workgroup> decay_slab: array<vec4<f32>, DEPTH * STRIDE>;
#endif
#if DELTA || DECAY == 2
var<workgroup> square: array<f32, LENGTH * ROW>;
#endif
#if DELTA
var<workgroup> inverse: array<f32, LENGTH * ROW>;
#endif

struct Chunk { b: u32, h: u32, first: u32, end: u32 }

/// Row `which` (READERS: the key) of token t.
fn operand(chunk: Chunk, which: u32, t: u32, key: u32) -> f32 {
  if (t >= chunk.end || key >= uniforms.keys) {
    return 0.0;
  }
#if HAS_Q
  if (which < READERS) {
    return q_load(query_row(chunk.b, t, chunk.h * READERS + which) * uniforms.keys + key);
  }
#endif
  return k_load(key_row(chunk.b, t, chunk.h) * uniforms.keys + key);
}

#if DECAY == 2
fn kept(chunk: Chunk, t: u32, key: u32) -> f32 {
  if (t >= chunk.end || key >= uniforms.keys) {
    return 1.0;
  }
  return exp(decay_load(chunk.b * uniforms.decay_batch + t * uniforms.decay_time + chunk.h * uniforms.keys + key));
}
#endif

fn stage(chunk: Chunk, which: u32, key0: u32, thread: u32) {
  for (var n = thread; n < DEPTH * LENGTH / 4u; n += 64u) {
    let d = n % DEPTH;
    let t = chunk.first + n / DEPTH * 4u;
    let at = d * STRIDE + n / DEPTH;
    var x: vec4<f32>;
    var y: vec4<f32>;
#if DECAY == 2
    var decay: vec4<f32>;
#endif
    for (var c = 0u; c < 4u; c++) {
      x[c] = operand(chunk, which, t + c, key0 + d);
      y[c] = operand(chunk, READERS, t + c, key0 + d);
#if DECAY == 2
      decay[c] = kept(chunk, t + c, key0 + d);
#endif
    }
    left_slab[at] = x;
    right_slab[at] = y;
#if DECAY == 2
    decay_slab[at] = decay;
#endif
  }
}

fn store_pair(chunk: Chunk, which: u32, i: u32, j: u32, value: f32) {
  let c = chunk.b * uniforms.chunks + chunk.first / LENGTH;
#if HAS_PAIRS
  if (which < READERS) {
    pairs_store((c * uniforms.outputs + chunk.h * READERS + which) * LENGTH * LENGTH + i * LENGTH + j, value);
  }
#endif
#if DELTA
  if (which == READERS) {
    square[i * ROW + j] = value;
#if HAS_KEYS
    keys_store((c * uniforms.heads + chunk.h) * LENGTH * LENGTH + i * LENGTH + j, value);
#endif
  }
#endif
}

#if DECAY == 2
/// Thread (i, half): Σ over keys of x_i k_j times what is left, which is carried from j = i down by multiplying.
fn multiply(chunk: Chunk, which: u32, thread: u32) {
  let i = thread % LENGTH;
  let part = thread / LENGTH * (DEPTH / 2u);
  var sum = array<vec4<f32>, LENGTH / 4u>();
  for (var key0 = 0u; key0 < uniforms.keys; key0 += DEPTH) {
    workgroupBarrier();
    stage(chunk, which, key0, thread);
    workgroupBarrier();
    for (var d = part; d < part + DEPTH / 2u; d++) {
      var x = left_slab[d * STRIDE + i / 4u][i % 4u];
#for n in 0..8
      {
        let j = (7u - $n) * 4u;
        let right = right_slab[d * STRIDE + 7u - $n];
        let decay = decay_slab[d * STRIDE + 7u - $n];
        var here: vec4<f32>;
        here.w = select(0.0, x, j + 3u <= i);
        x = select(x, x * decay.w, j + 3u <= i);
        here.z = select(0.0, x, j + 2u <= i);
        x = select(x, x * decay.z, j + 2u <= i);
        here.y = select(0.0, x, j + 1u <= i);
        x = select(x, x * decay.y, j + 1u <= i);
        here.x = select(0.0, x, j <= i);
        x = select(x, x * decay.x, j <= i);
        sum[7 - $n] += here * right;
      }
#endfor
    }
  }
  workgroupBarrier();
  if (thread >= LENGTH) {
#for n in 0..8
    square[i * ROW + $n * 4u] = sum[$n].x;
    square[i * ROW + $n * 4u + 1u] = sum[$n].y;
    square[i * ROW + $n * 4u + 2u] = sum[$n].z;
    square[i * ROW + $n * 4u + 3u] = sum[$n].w;
#endfor
  }
  workgroupBarrier();
  if (thread < LENGTH) {
#for n in 0..8
    for (var c = 0u; c < 4u; c++) {
      let j = $n * 4u + c;
      let whole = sum[$n][c] + square[i * ROW + j];
      store_pair(chunk, which, i, j, select(whole, 0.0, which == READERS && j == i));
    }
#endfor
  }
}
#else
fn multiply(chunk: Chunk, which: u32, thread: u32) {
  let i4 = thread / 8u;
  let j4 = thread % 8u;
  var sum = array<vec4<f32>, 4>();
  for (var key0 = 0u; key0 < uniforms.keys; key0 += DEPTH) {
    workgroupBarrier();
    stage(chunk, which, key0, thread);
    workgroupBarrier();
    for (var d = 0u; d < DEPTH; d++) {
      let x = left_slab[d * STRIDE + i4];
      let y = right_slab[d * STRIDE + j4];
      sum[0] += x.x * y;
      sum[1] += x.y * y;
      sum[2] += x.z * y;
      sum[3] += x.w * y;
    }
  }
#for r in 0..4
  for (var c = 0u; c < 4u; c++) {
    let i = i4 * 4u + $r;
    let j = j4 * 4u + c;
    let inside = select(j <= i, j < i, which == READERS);
    var factor = 0.0;
    if (inside) {
#if DECAY == 1
      factor = left(i, j);
#else
      factor = 1.0;
#endif
    }
    store_pair(chunk, which, i, j, select(0.0, sum[$r][c] * factor, inside));
  }
#endfor
}
#endif

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let group = id.x + id.y * groups.x;
  if (group >= uniforms.groups) {
    return;
  }
  let c = group / uniforms.heads;
  let first = c % uniforms.chunks * LENGTH;
  let chunk = Chunk(c / uniforms.chunks, group % uniforms.heads, first, min(first + LENGTH, uniforms.time));
#if DECAY == 1
  if (thread < LENGTH) {
    mark(chunk.b, first, thread, chunk.h);
  }
  workgroupBarrier();
#endif
  // Readers' queries with keys, then keys with keys.
  for (var which = select(READERS, 0u, HAS_PAIRS); which < READERS + DELTA; which++) {
    multiply(chunk, which, thread);
  }
#if DELTA
  workgroupBarrier();
  for (var n = thread; n < LENGTH * LENGTH; n += 64u) {
    let i = n / LENGTH;
    var beta = 0.0;
    if (first + i < chunk.end) {
      beta = beta_load(head_row(chunk.b, first + i, chunk.h));
    }
    square[i * ROW + n % LENGTH] *= beta;
    inverse[i * ROW + n % LENGTH] = select(0.0, 1.0, i == n % LENGTH);
  }
  workgroupBarrier();
  // The two diagonal blocks of 16 by forward substitution, a column per thread.
  if (thread < 32u) {
    let start = thread / 16u * 16u;
    for (var i = thread % 16u + 1u; i < 16u; i++) {
      var sum = 0.0;
      for (var l = thread % 16u; l < i; l++) {
        sum += square[(start + i) * ROW + start + l] * inverse[(start + l) * ROW + thread];
      }
      inverse[(start + i) * ROW + thread] = -sum;
    }
  }
  workgroupBarrier();
  // The block below them is -(second) (square block) (first); the product in between takes the empty block above.
  for (var n = thread; n < 256u; n += 64u) {
    let i = n / 16u;
    let j = n % 16u;
    var sum = 0.0;
    for (var l = j; l < 16u; l++) {
      sum += square[(16u + i) * ROW + l] * inverse[l * ROW + j];
    }
    square[i * ROW + 16u + j] = sum;
  }
  workgroupBarrier();
  for (var n = thread; n < 256u; n += 64u) {
    let i = n / 16u;
    let j = n % 16u;
    var sum = 0.0;
    for (var l = 0u; l <= i; l++) {
      sum += inverse[(16u + i) * ROW + 16u + l] * square[l * ROW + 16u + j];
    }
    inverse[(16u + i) * ROW + j] = -sum;
  }
  workgroupBarrier();
  for (var n = thread; n < LENGTH * LENGTH; n += 64u) {
    inverse_store(group * LENGTH * LENGTH + n, inverse[n / LENGTH * ROW + n % LENGTH]);
  }
#endif
}
