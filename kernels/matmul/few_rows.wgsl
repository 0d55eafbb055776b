// matmul for decoding: out [ROWS, N] = x [ROWS, K] · Wᵀ (+ bias), W [N, K] a weight that is read once, ROWS at most 8.
// A workgroup makes OUTPUTS columns: all its threads walk along those rows of W, OUTPUTS loads in flight each, against x from cache,
// and add up their sums at the end, by subgroups or through workgroup memory. int8 and int4 are scaled once a word (BITS).
// With `indices` (expert_matmul, ROWS 1) W is [experts · N, K], and each row of out takes the N rows of the expert it has chosen.
const SUMS: u32 = OUTPUTS * ROWS;
#if SUBGROUPS
// A place for every subgroup that there may be; those that there are not stay zero.
const PARTS: u32 = max(1u, WORKGROUP / SUBGROUP_MIN);
#else
const PARTS: u32 = WORKGROUP / SUMS;
var<workgroup> sums_of_threads: array<f32, SUMS * WORKGROUP>;
#endif
var<workgroup> parts: array<f32, SUMS * PARTS>;

#include "matmul/finish.wgsl"

#if BITS == 8
fn unpack(word: u32) -> vec4<f32> {
  return vec4<f32>((vec4<i32>(bitcast<i32>(word)) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u));
}
#elif BITS == 4
fn unpack(word: u32) -> vec4<f32> {
  return vec4<f32>((vec4<i32>(bitcast<i32>(word)) << vec4<u32>(28u, 24u, 20u, 16u)) >> vec4<u32>(28u));
}
#endif

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let k = uniforms.k;
#if HAS_INDICES
  // Neighbours make the same columns of all rows, so that those which share an expert find its weights in cache.
  let number = id.x + id.y * groups.x;
  let out_row = number % uniforms.rows;
  let first = number / uniforms.rows * OUTPUTS;
  let chosen = clamp(indices_load(out_row), 0, i32(uniforms.experts) - 1);
  let x_first = out_row / uniforms.per * k;
  // W may come in parts, of which rows b_first … b_first + b_rows - 1 are here. A row before them has a very large number.
  let matrix = u32(chosen) * uniforms.n - uniforms.b_first;
#for o in 0..OUTPUTS
  let row$o = min(matrix + min(first + $o, uniforms.n - 1u), uniforms.b_rows - 1u) * k;
#endfor
#else
  let x_first = 0u;
  let first = (id.x + id.y * groups.x) * OUTPUTS;
#for o in 0..OUTPUTS
  let row$o = min(first + $o, uniforms.n - 1u) * k;
#endfor
#endif
  // sums[o · ROWS + r] belongs to row r of x and column first + o.
  var sums: array<f32, SUMS>;

#if BITS == 8
  for (var i = thread; i < k / 4u; i += WORKGROUP) {
#for o in 0..OUTPUTS
    let w$o = unpack(b_word(row$o / 4u + i)) * b_scale((row$o / 4u + i) / 8u);
#endfor
#for r in 0..ROWS
    {
      let x = a_load4(x_first / 4u + $r * (k / 4u) + i);
#for o in 0..OUTPUTS
      sums[$o * ROWS + $r] += dot(w$o, x);
#endfor
    }
#endfor
  }
#elif BITS == 4
  for (var i = thread; i < k / 8u; i += WORKGROUP) {
#for o in 0..OUTPUTS
    let word$o = b_word(row$o / 8u + i);
    let scale$o = b_scale((row$o / 8u + i) / 4u);
    let low$o = unpack(word$o);
    let high$o = unpack(word$o >> 16u);
#endfor
#for r in 0..ROWS
    {
      let x = a_load4(x_first / 4u + $r * (k / 4u) + 2u * i);
      let y = a_load4(x_first / 4u + $r * (k / 4u) + 2u * i + 1u);
#for o in 0..OUTPUTS
      sums[$o * ROWS + $r] += scale$o * (dot(low$o, x) + dot(high$o, y));
#endfor
    }
#endfor
  }
#elif VECTOR
  for (var i = thread; i < k / 4u; i += WORKGROUP) {
#for o in 0..OUTPUTS
    let w$o = b_load4(row$o / 4u + i);
#endfor
#for r in 0..ROWS
    {
      let x = a_load4(x_first / 4u + $r * (k / 4u) + i);
#for o in 0..OUTPUTS
      sums[$o * ROWS + $r] += dot(w$o, x);
#endfor
    }
#endfor
  }
#else
  for (var i = thread; i < k; i += WORKGROUP) {
#for o in 0..OUTPUTS
    let w$o = b_load(row$o + i);
#endfor
#for r in 0..ROWS
    {
      let x = a_load(x_first + $r * k + i);
#for o in 0..OUTPUTS
      sums[$o * ROWS + $r] += w$o * x;
#endfor
    }
#endfor
  }
#endif

#if SUBGROUPS
  // Of the subgroups is assumed that their threads follow each other, not how many there are in one.
#for s in 0..OUTPUTS * ROWS
  let sum$s = subgroupAdd(sums[$s]);
#endfor
  if (subgroupElect()) {
#for s in 0..OUTPUTS * ROWS
    parts[$s * PARTS + thread / SUBGROUP_MIN] = sum$s;
#endfor
  }
#else
#for s in 0..OUTPUTS * ROWS
  sums_of_threads[$s * WORKGROUP + thread] = sums[$s];
#endfor
  workgroupBarrier();
  if (thread < SUMS * PARTS) {
    var sum = 0.0;
    for (var i = thread % PARTS; i < WORKGROUP; i += PARTS) { sum += sums_of_threads[thread / PARTS * WORKGROUP + i]; }
    parts[thread] = sum;
  }
#endif
  workgroupBarrier();
  let column = first + thread / ROWS;
  if (thread >= SUMS || column >= uniforms.n) { return; }
  var sum = 0.0;
  for (var i = 0u; i < PARTS; i++) { sum += parts[thread * PARTS + i]; }
#if HAS_INDICES
  if (matrix + column >= uniforms.b_rows) { return; }
  finish1(out_row * uniforms.n, column, sum);
#else
  finish1(uniforms.out_first + thread % ROWS * uniforms.out_stride, column, sum);
#endif
}
