// selective_scan, one token after the other: u, delta, z, y [B,T,D], A [D,N], B, C [B,T,N], states [B,D,N], states every 64 tokens.
// A workgroup walks COLUMNS channels of one batch row (CHUNKED: of one chunk of 64 tokens, from the state in `starts`), LANES
// threads a channel with VECTORS vec4s of states in registers; B and C of TOKENS tokens are staged in workgroup memory.
// x_row(row, n), x_row_store(row, n, v): elements n … n + 3 of a row of x, generated (src/ops/selective-scan/gpu.ts).
#include "selective_scan/rates.wgsl"
#include "selective_scan/steps.wgsl"

const WORKGROUP = COLUMNS * LANES;
const BLOCKS = (CHANNELS + COLUMNS - 1u) / COLUMNS;
const ROW = LANES * VECTORS;

#if STAGED
var<workgroup> staged_b: array<vec4f, TOKENS * ROW>;
var<workgroup> staged_c: array<vec4f, TOKENS * ROW>;
#endif
#if LANES > 1
/// Δ and Δ·u of each token and channel of the tile.
var<workgroup> steps: array<vec2f, TOKENS * COLUMNS>;
var<workgroup> sums: array<f32, TOKENS * WORKGROUP>;
#endif

fn gated(sum: f32, at: u32) -> f32 {
#if HAS_Z
  return sum * silu(z_load(at));
#else
  return sum;
#endif
}

fn skip_at(d: u32) -> f32 {
#if HAS_SKIP
  return skip_load(d);
#else
  return 0.0;
#endif
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let group = id.x + id.y * groups.x;
  if (group >= uniforms.groups) {
    return;
  }
#if CHUNKED
  let chunk = group / BLOCKS % uniforms.chunks;
  let batch = group / BLOCKS / uniforms.chunks;
  let begin = 64u * chunk;
  let end = min(begin + 64u, uniforms.time);
#else
  let batch = group / BLOCKS;
  let begin = 0u;
  let end = uniforms.time;
#endif
  let lane = thread % LANES;
  let column = thread / LANES;
  let first_channel = group % BLOCKS * COLUMNS;
  // Threads beyond the last channel compute it again and store nothing.
  let live = first_channel + column < CHANNELS;
  let d = min(first_channel + column, CHANNELS - 1u);
  let sequence = uniforms.sequence_at + batch * uniforms.time * CHANNELS;
  let rows = uniforms.rows_at + batch * uniforms.time * STATES;
  let state = uniforms.state_at + (batch * CHANNELS + d) * STATES;
#for v in 0..VECTORS
  let n$v = 4u * ($v * LANES + lane);
  let a$v = rates_at(d, n$v);
#if CHUNKED
  var h$v = starts_row(uniforms.starts_at + ((batch * uniforms.chunks + chunk) * CHANNELS + d) * STATES, n$v);
#elif HAS_H0
  var h$v = h0_row(state, n$v);
#else
  var h$v = vec4f();
#endif
#endfor
#if LANES == 1
  let skip = skip_at(d);
#endif

  for (var first = begin; first < end; first += TOKENS) {
#if HAS_STARTS && !CHUNKED
    if (first % 64u == 0u && live) {
      let starts_at = uniforms.starts_at + ((batch * uniforms.chunks + first / 64u) * CHANNELS + d) * STATES;
#for v in 0..VECTORS
      starts_row_store(starts_at, n$v, h$v);
#endfor
    }
#endif
    let tokens = min(TOKENS, end - first);
#if STAGED || LANES > 1
    workgroupBarrier();
#endif
#if STAGED
    for (var e = thread; e < TOKENS * ROW; e += WORKGROUP) {
      var b = vec4f();
      var c = vec4f();
      if (e / ROW < tokens) {
        let row = rows + (first + e / ROW) * STATES;
        b = b_row(row, 4u * (e % ROW));
        c = c_row(row, 4u * (e % ROW));
      }
      staged_b[e] = b;
      staged_c[e] = c;
    }
#endif
#if LANES > 1
    for (var e = thread; e < tokens * COLUMNS; e += WORKGROUP) {
      let channel = min(first_channel + e % COLUMNS, CHANNELS - 1u);
      let at = sequence + (first + e / COLUMNS) * CHANNELS + channel;
      let step = step_of(raw_step(at, channel));
      steps[e] = vec2f(step, step * u_load(at));
    }
#endif
#if STAGED || LANES > 1
    workgroupBarrier();
#endif

#if LANES == 1
    for (var n = 0u; n < tokens; n += UNROLL) {
      // Beyond the last token steps are zero: the state stays.
#for k in 0..UNROLL
      let at$k = sequence + (first + min(n + $k, tokens - 1u)) * CHANNELS + d;
      let raw$k = raw_step(at$k, d);
      let u$k = u_load(at$k);
#endfor
#for k in 0..UNROLL
      {
        let step = select(0.0, step_of(raw$k), n + $k < tokens);
        let drive = step * u$k;
        var sum = vec4f();
#for v in 0..VECTORS
#if STAGED
        h$v = exp2(a$v * step) * h$v + drive * staged_b[(n + $k) * ROW + $v];
        sum += staged_c[(n + $k) * ROW + $v] * h$v;
#else
        let row$v = rows + (first + min(n + $k, tokens - 1u)) * STATES;
        h$v = exp2(a$v * step) * h$v + drive * b_row(row$v, n$v);
        sum += c_row(row$v, n$v) * h$v;
#endif
#endfor
#if HAS_Y
        if (live && n + $k < tokens) {
          y_store(at$k, gated(sum.x + sum.y + sum.z + sum.w + skip * u$k, at$k));
        }
#endif
      }
#endfor
    }
#else
    for (var n = 0u; n < tokens; n++) {
      let step = steps[n * COLUMNS + column];
      var sum = vec4f();
#for v in 0..VECTORS
#if STAGED
      h$v = exp2(a$v * step.x) * h$v + step.y * staged_b[n * ROW + $v * LANES + lane];
      sum += staged_c[n * ROW + $v * LANES + lane] * h$v;
#else
      h$v = exp2(a$v * step.x) * h$v + step.y * b_row(rows + (first + n) * STATES, n$v);
      sum += c_row(rows + (first + n) * STATES, n$v) * h$v;
#endif
#endfor
      sums[n * WORKGROUP + thread] = sum.x + sum.y + sum.z + sum.w;
    }
    workgroupBarrier();
#if HAS_Y
    for (var e = thread; e < tokens * COLUMNS; e += WORKGROUP) {
      let channel = first_channel + e % COLUMNS;
      if (channel < CHANNELS) {
        let at = sequence + (first + e / COLUMNS) * CHANNELS + channel;
        var sum = skip_at(channel) * u_load(at);
        for (var l = 0u; l < LANES; l++) {
          sum += sums[e * LANES + l];
        }
        y_store(at, gated(sum, at));
      }
    }
#endif
#endif
  }
#if HAS_FINAL
  if (live) {
#for v in 0..VECTORS
    final_row_store(uniforms.final_at + (batch * CHANNELS + d) * STATES, n$v, h$v);
#endfor
  }
#endif
}
