// What a chunk of 64 tokens makes of a state of zero, [B,chunks,D,N], and the sum of its Δ, [B,chunks,D]: the decay over the chunk is
// exp(A ΣΔ). REVERSE: the adjoint instead, c ← exp(A Δ) · (c + C · e) from the last token to the first, e = dy · silu(z).
// A workgroup walks COLUMNS channels of one chunk, LANES threads a channel; B (or C) of TOKENS tokens is in workgroup memory.
#include "selective_scan/rates.wgsl"
#include "selective_scan/steps.wgsl"

const WORKGROUP = COLUMNS * LANES;
const BLOCKS = (CHANNELS + COLUMNS - 1u) / COLUMNS;
const ROW = LANES * VECTORS;

#if STAGED
var<workgroup> staged: array<vec4f, TOKENS * ROW>;
#endif

fn projection(row: u32, n: u32) -> vec4f {
#if REVERSE
  return c_row(row, n);
#else
  return b_row(row, n);
#endif
}

/// What multiplies the projection: Δ·u, or dy · silu(z).
fn drive_at(at: u32, step: f32) -> f32 {
#if !REVERSE
  return step * u_load(at);
#elif !HAS_DY
  return 0.0;
#elif HAS_Z
  return dy_load(at) * silu(z_load(at));
#else
  return dy_load(at);
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
  let chunk = group / BLOCKS % uniforms.chunks;
  let batch = group / BLOCKS / uniforms.chunks;
  let begin = 64u * chunk;
  let length = min(64u, uniforms.time - begin);
  let lane = thread % LANES;
  let column = group % BLOCKS * COLUMNS + thread / LANES;
  let d = min(column, CHANNELS - 1u);
  let sequence = uniforms.sequence_at + (batch * uniforms.time + begin) * CHANNELS + d;
  let rows = uniforms.rows_at + (batch * uniforms.time + begin) * STATES;
#for v in 0..VECTORS
  let n$v = 4u * ($v * LANES + lane);
  let a$v = rates_at(d, n$v);
  var h$v = vec4f();
#endfor
  var total = 0.0;

  // Token `first + n` of the walk is the chunk's last but that many where the walk goes back.
  for (var first = 0u; first < length; first += TOKENS) {
    let tokens = min(TOKENS, length - first);
#if STAGED
    workgroupBarrier();
    for (var e = thread; e < TOKENS * ROW; e += WORKGROUP) {
      var x = vec4f();
      if (e / ROW < tokens) {
        x = projection(rows + token_of(first + e / ROW, length) * STATES, 4u * (e % ROW));
      }
      staged[e] = x;
    }
    workgroupBarrier();
#endif
    for (var n = 0u; n < tokens; n += UNROLL) {
#for k in 0..UNROLL
      let t$k = token_of(first + min(n + $k, tokens - 1u), length);
      let at$k = sequence + t$k * CHANNELS;
      let raw$k = raw_step(at$k, d);
#endfor
#for k in 0..UNROLL
      {
        let live = n + $k < tokens;
        let step = select(0.0, step_of(raw$k), live);
        let drive = select(0.0, drive_at(at$k, step), live);
        total += step;
#for v in 0..VECTORS
#if STAGED
        let x$v = staged[(n + $k) * ROW + $v * LANES + lane];
#else
        let x$v = projection(rows + t$k * STATES, n$v);
#endif
#if REVERSE
        h$v = exp2(a$v * step) * (h$v + drive * x$v);
#else
        h$v = exp2(a$v * step) * h$v + drive * x$v;
#endif
#endfor
      }
#endfor
    }
  }
  if (column < CHANNELS) {
    let place = (batch * uniforms.chunks + chunk) * CHANNELS + d;
#for v in 0..VECTORS
    ends_row_store(uniforms.ends_at + place * STATES, n$v, h$v);
#endfor
    if (lane == 0u) {
      sums_store(place, total);
    }
  }
}

fn token_of(step: u32, length: u32) -> u32 {
#if REVERSE
  return length - 1u - step;
#else
  return step;
#endif
}
