// Gradients of a chunk's pairs (LENGTH = 32): dpairs_ij = (scale dy_i . u_j) left(i, j), j <= i, and for the delta rules
// dkeys_ij = -(dv_i . u_j) left(i, j), j < i, where with decay per key `left` is not multiplied in (key_gradient does it);
// with decay per head also what the pairs across token t give to its log decay: sum over i >= t > j of dpairs' pairs.
// A workgroup of 64 threads per (b, chunk, head), 4 x 4 pairs a thread.
#include "linear_attention/heads.wgsl"
const LENGTH = 32u;
const DEPTH = 32u;
const STRIDE = 9u;
const ROW = 33u;
#if DECAY == 1
#include "linear_attention/marks.wgsl"
#endif
var<workgroup> products: array<f32, LENGTH * ROW>;
var<workgroup> left_slab: array<vec4<f32>, DEPTH * STRIDE>;
var<workgroup> right_slab: array<vec4<f32>, DEPTH * STRIDE>;

struct Chunk { b: u32, h: u32, first: u32, end: u32, index: u32 }

/// scale dy of a reader, or (READERS) -dv.
fn upstream(chunk: Chunk, which: u32, t: u32, column: u32) -> f32 {
  if (t >= chunk.end || column >= uniforms.values) {
    return 0.0;
  }
#if DELTA
  if (which == READERS) {
    return -dv_load(head_row(chunk.b, t, chunk.h) * uniforms.values + column);
  }
#endif
#if HAS_DY
  return uniforms.scale * dy_load(output_row(chunk.b, t, chunk.h * READERS + which) * uniforms.values + column);
#else
  return 0.0;
#endif
}

fn write_of(chunk: Chunk, t: u32, column: u32) -> f32 {
  if (t >= chunk.end || column >= uniforms.values) {
    return 0.0;
  }
  return writes_load(head_row(chunk.b, t, chunk.h) * uniforms.values + column);
}

fn multiply(chunk: Chunk, which: u32, thread: u32) -> array<vec4<f32>, 4> {
  var sum = array<vec4<f32>, 4>();
  for (var column0 = 0u; column0 < uniforms.values; column0 += DEPTH) {
    workgroupBarrier();
    for (var n = thread; n < DEPTH * LENGTH / 4u; n += 64u) {
      let column = column0 + n % DEPTH;
      let t = chunk.first + n / DEPTH * 4u;
      let at = n % DEPTH * STRIDE + n / DEPTH;
      var x: vec4<f32>;
      var y: vec4<f32>;
      for (var c = 0u; c < 4u; c++) {
        x[c] = upstream(chunk, which, t + c, column);
        y[c] = write_of(chunk, t + c, column);
      }
      left_slab[at] = x;
      right_slab[at] = y;
    }
    workgroupBarrier();
    for (var d = 0u; d < DEPTH; d++) {
      let x = left_slab[d * STRIDE + thread / 8u];
      let y = right_slab[d * STRIDE + thread % 8u];
      sum[0] += x.x * y;
      sum[1] += x.y * y;
      sum[2] += x.z * y;
      sum[3] += x.w * y;
    }
  }
  return sum;
}

#if HAS_DDECAY
fn pair_of(of_keys: bool, at: u32) -> f32 {
#if DELTA
  if (of_keys) {
    return keys_load(at);
  }
#endif
#if HAS_PAIRS
  return pairs_load(at);
#else
  return 0.0;
#endif
}
#endif

fn store_gradient(of_keys: bool, at: u32, gradient: f32) {
#if DELTA
  if (of_keys) {
    dkeys_store(at, gradient);
    return;
  }
#endif
#if HAS_DPAIRS
  dpairs_store(at, gradient);
#endif
}

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
  let index = group / uniforms.heads;
  let first = index % uniforms.chunks * LENGTH;
  let chunk =
    Chunk(index / uniforms.chunks, group % uniforms.heads, first, min(first + LENGTH, uniforms.time), index);
#if DECAY == 1
  if (thread < LENGTH) {
    mark(chunk.b, first, thread, chunk.h);
  }
  workgroupBarrier();
#endif
  // Thread n has pairs n, n + 64, ...: what they give to the decay stays with it until the end.
  var total = array<f32, 16>();
  for (var which = FIRST; which < READERS + DELTA; which++) {
    let sum = multiply(chunk, which, thread);
    workgroupBarrier();
#for r in 0..4
#for c in 0..4
    products[(thread / 8u * 4u + $r) * ROW + thread % 8u * 4u + $c] = sum[$r][$c];
#endfor
#endfor
    workgroupBarrier();
    let of_keys = which == READERS;
    let base = select((chunk.index * uniforms.outputs + chunk.h * READERS + which), group, of_keys) * LENGTH * LENGTH;
    for (var n = 0u; n < 16u; n++) {
      let i = n * 2u + thread / LENGTH;
      let j = thread % LENGTH;
      var gradient = products[i * ROW + j];
      if (select(j > i, j >= i, of_keys)) {
        gradient = 0.0;
      }
#if HAS_DDECAY
      total[n] += gradient * pair_of(of_keys, base + i * LENGTH + j);
#endif
#if DECAY == 1
      gradient *= left(max(i, j), j);
#endif
      store_gradient(of_keys, base + i * LENGTH + j, gradient);
    }
  }
#if HAS_DDECAY
  workgroupBarrier();
  for (var n = 0u; n < 16u; n++) {
    products[(n * 2u + thread / LENGTH) * ROW + thread % LENGTH] = total[n];
  }
  workgroupBarrier();
  // Sums of rows up to each column, then of what lies at and below t.
  if (thread < LENGTH) {
    for (var j = 1u; j < LENGTH; j++) {
      products[thread * ROW + j] += products[thread * ROW + j - 1u];
    }
  }
  workgroupBarrier();
  if (first + thread < chunk.end) {
    var sum = 0.0;
    for (var i = thread; i < LENGTH && thread > 0u; i++) {
      sum += products[i * ROW + thread - 1u];
    }
    ddecay_store(head_row(chunk.b, first + thread, chunk.h), sum);
  }
#endif
}
