// Gradient of selective_scan for states first_state … first_state + 4 LANES - 1, tensors as in the op. A workgroup takes 32 channels
// of one batch row, chunks of 64 tokens from the last to the first (CHUNKED: one chunk, from the adjoint in `carries`), a thread four
// states of a channel: forward from the chunk's start keeping the state every TILE tokens, then tile by tile forward and back in registers.
// Sums over channels (dB, dC) and over tokens (dA, dD, d bias) leave as partial sums, [blocks,2,B,T,N] and per walk.
#include "selective_scan/rates.wgsl"
#include "selective_scan/steps.wgsl"

const COLUMNS = 32u;
const WORKGROUP = COLUMNS * LANES;
const BLOCKS = (CHANNELS + COLUMNS - 1u) / COLUMNS;
const TILES = 64u / TILE;

/// Δ, u and dy · silu(z) of each token and channel of the tile.
var<workgroup> step_of_token: array<f32, TILE * COLUMNS>;
var<workgroup> u_of_token: array<f32, TILE * COLUMNS>;
var<workgroup> e_of_token: array<f32, TILE * COLUMNS>;
var<workgroup> staged_b: array<vec4f, TILE * LANES>;
var<workgroup> staged_c: array<vec4f, TILE * LANES>;
/// A thread's part of the sums over states: Σ g B, Σ A a g h, Σ C h.
var<workgroup> driven_sums: array<f32, TILE * WORKGROUP>;
var<workgroup> passed_sums: array<f32, TILE * WORKGROUP>;
#if HAS_DZ
var<workgroup> read_sums: array<f32, TILE * WORKGROUP>;
#endif
#if HAS_ROW_PARTS
/// Terms of dB and of dC: together where there is room, or the ones after the others.
var<workgroup> products: array<vec4f, (1 + TOGETHER) * TILE * WORKGROUP>;
#endif

/// Place of a thread's terms: neighbouring channels lie in different banks.
fn product_place(row: u32, channel: u32, lane: u32) -> u32 {
  return (row * COLUMNS + channel) * LANES + (lane ^ ((channel >> 1u) & (LANES - 1u)));
}

struct Walk { sequence: u32, rows: u32, first_channel: u32, block: u32, batch: u32 }

/// Tokens first … first + TILE - 1: beyond `end` steps and projections are zero, which leaves state and adjoint as they are.
fn stage(walk: Walk, first: u32, end: u32, thread: u32) {
  for (var e = thread; e < TILE * COLUMNS; e += WORKGROUP) {
    let d = walk.first_channel + e % COLUMNS;
    let t = first + e / COLUMNS;
    var step = 0.0;
    var u = 0.0;
    var upstream = 0.0;
    if (t < end && d < CHANNELS) {
      let at = walk.sequence + t * CHANNELS + d;
      step = step_of(raw_step(at, d));
      u = u_load(at);
#if HAS_DY
      upstream = dy_load(at);
#if HAS_Z
      upstream *= silu(z_load(at));
#endif
#endif
    }
    step_of_token[e] = step;
    u_of_token[e] = u;
    e_of_token[e] = upstream;
  }
  for (var e = thread; e < TILE * LANES; e += WORKGROUP) {
    let t = first + e / LANES;
    var b = vec4f();
    var c = vec4f();
    if (t < end) {
      b = b_row(walk.rows + t * STATES, uniforms.first_state + 4u * (e % LANES));
      c = c_row(walk.rows + t * STATES, uniforms.first_state + 4u * (e % LANES));
    }
    staged_b[e] = b;
    staged_c[e] = c;
  }
}

/// What a thread has added up of its column: dD and d bias.
var<private> sum_skip: f32;
var<private> sum_bias: f32;

#if HAS_ROW_PARTS
/// Sums over the channels of `count` tensors, dB and dC, from number `which` on, of tokens first … first + TILE - 1.
fn sum_channels(walk: Walk, first: u32, end: u32, thread: u32, which: u32, count: u32) {
  for (var e = thread; e < count * TILE * 4u * LANES; e += WORKGROUP) {
    let n = e % (4u * LANES);
    let row = e / (4u * LANES);
    let t = first + row % TILE;
    if (t < end && uniforms.first_state + n < STATES) {
      var sum = 0.0;
      for (var channel = 0u; channel < COLUMNS; channel++) {
        sum += products[product_place(row, channel, n >> 2u)][n & 3u];
      }
      let part = ((walk.block * 2u + which + row / TILE) * uniforms.batches + walk.batch) * uniforms.time + t;
      row_parts_store(part * STATES + uniforms.first_state + n, sum);
    }
  }
}
#endif

/// The sums over states of tokens first … first + TILE - 1.
fn finish_tokens(walk: Walk, first: u32, end: u32, thread: u32) {
  for (var e = thread; e < TILE * COLUMNS; e += WORKGROUP) {
    let d = walk.first_channel + e % COLUMNS;
    let t = first + e / COLUMNS;
    if (t < end && d < CHANNELS) {
      var driven = 0.0;
      var passed = 0.0;
      var read = 0.0;
      for (var lane = 0u; lane < LANES; lane++) {
        let place = e / COLUMNS * WORKGROUP + lane * COLUMNS + e % COLUMNS;
        driven += driven_sums[place];
        passed += passed_sums[place];
#if HAS_DZ
        read += read_sums[place];
#endif
      }
      let at = walk.sequence + t * CHANNELS + d;
      let step = step_of_token[e];
      let u = u_of_token[e];
      let upstream = e_of_token[e];
#if HAS_SKIP
      let skip = skip_load(d);
#else
      let skip = 0.0;
#endif
      // Where states are taken in several dispatches, du, ddelta and dz hold the sums of the ones before.
#if HAS_DU
#if FIRST
      du_store(at, skip * upstream + step * driven);
#else
      du_store(at, du_load(at) + step * driven);
#endif
#endif
      var dstep = u * driven + passed;
#if !FIRST && HAS_DDELTA
      dstep += ddelta_load(at);
#endif
#if !FIRST && HAS_DZ
      read += dz_load(at);
#endif
#if LAST
#if SOFTPLUS
      dstep *= sigmoid(raw_step(at, d));
#endif
      sum_bias += dstep;
#if HAS_DZ
#if HAS_DY && HAS_Z
      let z = z_load(at);
      let s = sigmoid(z);
      dz_store(at, dy_load(at) * (read + skip * u) * s * (1.0 + z * (1.0 - s)));
#else
      dz_store(at, 0.0);
#endif
#endif
#elif HAS_DZ
      dz_store(at, read);
#endif
#if HAS_DDELTA
      ddelta_store(at, dstep);
#endif
#if FIRST
      sum_skip += upstream * u;
#endif
    }
  }
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
  let block = group % BLOCKS;
#if CHUNKED
  let first_chunk = group / BLOCKS % uniforms.chunks;
  let end_chunk = first_chunk + 1u;
  let batch = group / BLOCKS / uniforms.chunks;
#else
  let first_chunk = 0u;
  let end_chunk = uniforms.chunks;
  let batch = group / BLOCKS;
#endif
  let walk = Walk(
    uniforms.sequence_at + batch * uniforms.time * CHANNELS,
    uniforms.rows_at + batch * uniforms.time * STATES,
    block * COLUMNS,
    block,
    batch,
  );
  let channel = thread % COLUMNS;
  let lane = thread / COLUMNS;
  let live = block * COLUMNS + channel < CHANNELS;
  let d = min(block * COLUMNS + channel, CHANNELS - 1u);
  let state = uniforms.first_state + 4u * lane;
  let a = rates_at(d, state);
  var g = vec4f();
#if CHUNKED
  g = carries_row(((batch * uniforms.chunks + first_chunk) * CHANNELS + d) * STATES, state);
#elif HAS_DFINAL
  g = dfinal_row(uniforms.dfinal_at + (batch * CHANNELS + d) * STATES, state);
#endif
  var da = vec4f();
  sum_skip = 0.0;
  sum_bias = 0.0;

  for (var back = 0u; back < end_chunk - first_chunk; back++) {
    let chunk = end_chunk - 1u - back;
    let begin = 64u * chunk;
    let end = min(begin + 64u, uniforms.time);
    let tiles = (end - begin + TILE - 1u) / TILE;
    var kept: array<vec4f, TILES>;
    var h = starts_row(uniforms.starts_at + ((batch * uniforms.chunks + chunk) * CHANNELS + d) * STATES, state);
    for (var tile = 0u; tile + 1u < tiles; tile++) {
      kept[tile] = h;
      workgroupBarrier();
      stage(walk, begin + TILE * tile, end, thread);
      workgroupBarrier();
#for n in 0..TILE
      {
        let step = step_of_token[$n * COLUMNS + channel];
        h = exp2(a * step) * h + step * u_of_token[$n * COLUMNS + channel] * staged_b[$n * LANES + lane];
      }
#endfor
    }
    kept[tiles - 1u] = h;
    for (var behind = 0u; behind < tiles; behind++) {
      let tile = tiles - 1u - behind;
      let first = begin + TILE * tile;
      workgroupBarrier();
      stage(walk, first, end, thread);
      workgroupBarrier();
      // States before each token and after the last, and decays.
      var states: array<vec4f, TILE + 1>;
      var decays: array<vec4f, TILE>;
      states[0] = kept[tile];
#for n in 0..TILE
      {
        let step = step_of_token[$n * COLUMNS + channel];
        let drive = step * u_of_token[$n * COLUMNS + channel];
        decays[$n] = exp2(a * step);
        states[$n + 1] = decays[$n] * states[$n] + drive * staged_b[$n * LANES + lane];
      }
#endfor
#for n in 0..TILE
      {
        const n = TILE - 1 - $n;
        let step = step_of_token[n * COLUMNS + channel];
        let upstream = e_of_token[n * COLUMNS + channel];
        let c = staged_c[n * LANES + lane];
        g += upstream * c;
#if HAS_ROW_PARTS
        products[product_place(n, channel, lane)] = step * u_of_token[n * COLUMNS + channel] * g;
#if TOGETHER
        products[product_place(TILE + n, channel, lane)] = upstream * states[n + 1];
#endif
#endif
        driven_sums[n * WORKGROUP + thread] = dot(g, staged_b[n * LANES + lane]);
#if HAS_DZ
        read_sums[n * WORKGROUP + thread] = dot(c, states[n + 1]);
#endif
        g *= decays[n];
        let passed = g * states[n];
        passed_sums[n * WORKGROUP + thread] = LN2 * dot(a, passed);
        da += step * passed;
      }
#endfor
      workgroupBarrier();
#if HAS_ROW_PARTS
      sum_channels(walk, first, end, thread, 0u, 1u + TOGETHER);
#if !TOGETHER
      workgroupBarrier();
#for n in 0..TILE
      products[product_place($n, channel, lane)] = e_of_token[$n * COLUMNS + channel] * states[$n + 1];
#endfor
      workgroupBarrier();
      sum_channels(walk, first, end, thread, 1u, 1u);
#endif
#endif
      finish_tokens(walk, first, end, thread);
    }
  }

#if CHUNKED
  let walk_number = batch * uniforms.chunks + first_chunk;
#else
  let walk_number = batch;
#if HAS_DH0
  if (live) {
    dh0_row_store(uniforms.dh0_at + (batch * CHANNELS + d) * STATES, state, g);
  }
#endif
#endif
#if HAS_RATE_PARTS
  if (live) {
    rate_parts_row_store((walk_number * CHANNELS + d) * STATES, state, da);
  }
#endif
#if HAS_CHANNEL_PARTS
  // dD, then d bias, of each walk: the threads of a column had different tokens.
  workgroupBarrier();
  driven_sums[thread] = sum_skip;
  passed_sums[thread] = sum_bias;
  workgroupBarrier();
  if (lane == 0u && live) {
    var skip_total = 0.0;
    var bias_total = 0.0;
    for (var l = 0u; l < LANES; l++) {
      skip_total += driven_sums[l * COLUMNS + channel];
      bias_total += passed_sums[l * COLUMNS + channel];
    }
#if FIRST
    channel_parts_store(2u * walk_number * CHANNELS + d, skip_total);
#endif
#if LAST
    channel_parts_store((2u * walk_number + 1u) * CHANNELS + d, bias_total);
#endif
  }
#endif
}
