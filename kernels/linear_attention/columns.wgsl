// For kernels that go from chunk to chunk of LENGTH = 32 tokens with a value column of the state per thread: it is private, and
// what all columns need of q, k and pairs is staged as a slab of 64 x 16 numbers that every thread reads at the same place (a
// broadcast). Products need no exchange between threads, and an element of the state serves the 16 tokens of a half at a time.
// Loops over keys and tokens stay loops: only the 4 quads of a half are unrolled, which keeps code and registers few.
#include "linear_attention/heads.wgsl"
const LENGTH = 32u;
const DEPTH = 64u;
const STRIDE = 5u;

/// Numbers of 16 of the 32 tokens of a chunk in this thread's column.
alias Half = array<vec4<f32>, 4>;

var<workgroup> slab: array<vec4<f32>, DEPTH * STRIDE>;
/// Tokens of each thread's column where they are indexed, [8 quads][COLUMNS]: no other thread reads them, so no barriers.
var<workgroup> lines: array<vec4<f32>, 8u * COLUMNS>;
var<private> state: array<f32, KEY_SLOTS>;

/// A chunk of a head, and this thread's column of values.
struct Place { b: u32, h: u32, first: u32, end: u32, chunk: u32, thread: u32, column: u32 }

#if DECAY
/// What is left, at the end of token t, of the state before the chunk.
fn grow_of(place: Place, t: u32, key: u32) -> f32 {
#if DECAY == 2
  return grow_load(head_row(place.b, t, place.h) * uniforms.keys + key);
#else
  return grow_load(head_row(place.b, t, place.h));
#endif
}

/// What is left of token t at the end of the chunk.
fn fade_of(place: Place, t: u32, key: u32) -> f32 {
#if DECAY == 2
  return fade_load(head_row(place.b, t, place.h) * uniforms.keys + key);
#else
  return fade_load(head_row(place.b, t, place.h));
#endif
}
#endif

/// What of q and k is staged: queries of a reader and keys as they meet the state before the chunk,
/// and keys as they write the state after it.
const KEYS_READING = READERS;
const KEYS_WRITING = READERS + 1u;

fn element(place: Place, which: u32, t: u32, key: u32) -> f32 {
#if HAS_Q
  if (which < READERS) {
    let x = q_load(query_row(place.b, t, place.h * READERS + which) * uniforms.keys + key);
#if DECAY
    return x * grow_of(place, t, key);
#else
    return x;
#endif
  }
#endif
  let x = k_load(key_row(place.b, t, place.h) * uniforms.keys + key);
#if DECAY
  if (which == KEYS_READING) {
    return x * grow_of(place, t, key);
  }
  return x * fade_of(place, t, key);
#else
  return x;
#endif
}

/// The slab becomes rows `which`, [DEPTH keys][16 tokens of the half].
fn stage_rows(place: Place, which: u32, half: u32, key0: u32) {
  workgroupBarrier();
  for (var n = place.thread; n < DEPTH * 4u; n += COLUMNS) {
    let key = key0 + n % DEPTH;
    let t = place.first + half * 16u + n / DEPTH * 4u;
    var quad = vec4<f32>(0.0);
    if (key < uniforms.keys) {
      for (var c = 0u; c < min(4u, max(t, place.end) - t); c++) {
        quad[c] = element(place, which, t + c, key);
      }
    }
    slab[n % DEPTH * STRIDE + n / DEPTH] = quad;
  }
  workgroupBarrier();
}

/// Adds rows `which` of the half's tokens times the state's column.
fn add_rows_by_state(place: Place, which: u32, half: u32, sum: ptr<function, Half>) {
  for (var key0 = 0u; key0 < uniforms.keys; key0 += DEPTH) {
    stage_rows(place, which, half, key0);
    let keys = min(DEPTH, uniforms.keys - key0);
    for (var key = 0u; key < keys; key++) {
      let x = state[key0 + key];
#for n in 0..4
      (*sum)[$n] += slab[key * STRIDE + $n] * x;
#endfor
    }
  }
}

/// state += factor * (rows `which`)^T lines, after state *= what is left at the chunk's end, if `decays`.
fn add_to_state(place: Place, which: u32, factor: f32, decays: bool) {
  for (var half = 0u; half < 2u; half++) {
    var left = 1.0;
#if DECAY == 1
    if (decays && half == 0u) {
      left = grow_of(place, place.end - 1u, 0u);
    }
#endif
    let x = half_of_lines(place, half);
    for (var key0 = 0u; key0 < uniforms.keys; key0 += DEPTH) {
      stage_rows(place, which, half, key0);
      let keys = min(DEPTH, uniforms.keys - key0);
      for (var key = 0u; key < keys; key++) {
#if DECAY == 2
        if (decays && half == 0u) {
          left = grow_of(place, place.end - 1u, key0 + key);
        }
#endif
        var sum = vec4<f32>(0.0);
#for n in 0..4
        sum += slab[key * STRIDE + $n] * x[$n];
#endfor
        state[key0 + key] = left * state[key0 + key] + factor * dot(sum, vec4<f32>(1.0));
      }
    }
  }
}

/// What `lines` hold of this thread's column in the half.
fn half_of_lines(place: Place, half: u32) -> Half {
  var x: Half;
#for n in 0..4
  x[$n] = lines[(half * 4u + $n) * COLUMNS + place.thread];
#endfor
  return x;
}

fn into_lines(place: Place, half: u32, x: Half) {
#for n in 0..4
  lines[(half * 4u + $n) * COLUMNS + place.thread] = x[$n];
#endfor
}

/// Token n of the chunk in this thread's line.
fn of_line(place: Place, n: u32) -> f32 {
  return lines[n / 4u * COLUMNS + place.thread][n % 4u];
}

/// First element of this column in state number `index` of [index, heads, keys, values].
fn state_at(index: u32, place: Place) -> u32 {
  return (index * uniforms.heads + place.h) * uniforms.keys * uniforms.values + place.column;
}

/// Workgroup `group` of (b, segment, head, block of columns): its place before the first chunk.
fn place_of(group: u32, segments: u32, thread: u32) -> Place {
  var place: Place;
  place.b = group / uniforms.blocks / uniforms.heads / segments;
  place.h = group / uniforms.blocks % uniforms.heads;
  place.thread = thread;
  place.column = group % uniforms.blocks * COLUMNS + thread;
  return place;
}

fn enter_chunk(place: ptr<function, Place>, chunk: u32) {
  (*place).chunk = (*place).b * uniforms.chunks + chunk;
  (*place).first = chunk * LENGTH;
  (*place).end = min((*place).first + LENGTH, uniforms.time);
}

/// Tokens of the chunk in this thread's column, none outside the columns.
fn live_tokens(place: Place) -> u32 {
  return select(0u, place.end - place.first, place.column < uniforms.values);
}

/// Element of [B, T, heads, values] for token number n of the chunk in this thread's column.
fn value_at(place: Place, n: u32) -> u32 {
  return head_row(place.b, place.first + n, place.h) * uniforms.values + place.column;
}

#if DELTA
/// Write strengths of the chunk's tokens n ... n + 3, 0 behind the last.
fn betas_of(place: Place, n: u32) -> vec4<f32> {
  var beta = vec4<f32>(0.0);
  for (var c = 0u; c < min(4u, max(place.end - place.first, n) - n); c++) {
    beta[c] = beta_load(head_row(place.b, place.first + n + c, place.h));
  }
  return beta;
}
#endif
