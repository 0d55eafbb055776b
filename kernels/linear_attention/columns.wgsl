// Some columns of one head's state in workgroup memory, for kernels that go from chunk to chunk of LENGTH = 32 tokens: the tile
// holds PADDED rows of keys and LENGTH rows of tokens, COLUMNS wide. Products are of a slab of 32 x 32 numbers with 32 rows
// of the tile; each of the TEAM threads has ROWS rows of the result and four columns.
#include "linear_attention/heads.wgsl"
const LENGTH = 32u;
const QUADS = COLUMNS / 4u;
const TEAM = LENGTH / ROWS * QUADS;
const TOKENS = PADDED * QUADS;
const BLOCKS = (VALUES + COLUMNS - 1u) / COLUMNS;
#if ROWS == 2
alias R = vec2<f32>;
#else
alias R = f32;
#endif
const STRIDE = LENGTH / ROWS + 1u;

var<workgroup> tile: array<vec4<f32>, (PADDED + LENGTH) * QUADS>;
var<workgroup> slab: array<R, LENGTH * STRIDE>;

/// A chunk of a head and this thread's place in the results: rows from `row`, columns from `column`.
struct Place { b: u32, h: u32, first: u32, end: u32, chunk: u32, thread: u32, row: u32, quad: u32, column: u32 }

alias Rows = array<vec4<f32>, ROWS>;

/// Slab rows times the 32 tile rows from `base` (in quads) on.
fn product(base: u32, place: Place) -> Rows {
  var sum = Rows();
  for (var s = 0u; s < LENGTH; s++) {
    let x = slab[s * STRIDE + place.row / ROWS];
    let y = tile[base + s * QUADS + place.quad];
#if ROWS == 2
    sum[0] += x.x * y;
    sum[1] += x.y * y;
#else
    sum[0] += x * y;
#endif
  }
  return sum;
}

/// Row `row` of the tile's tokens (or keys, from base 0) becomes `value`.
fn set_rows(base: u32, place: Place, value: Rows) {
#for r in 0..ROWS
  tile[base + (place.row + $r) * QUADS + place.quad] = value[$r];
#endfor
}

fn grow_of(place: Place, t: u32, key: u32) -> f32 {
#if DECAY == 2
  return grow_load(head_row(place.b, t, place.h) * KEYS + key);
#elif DECAY == 1
  return grow_load(head_row(place.b, t, place.h));
#else
  return 1.0;
#endif
}

fn fade_of(place: Place, t: u32, key: u32) -> f32 {
#if DECAY == 2
  return fade_load(head_row(place.b, t, place.h) * KEYS + key);
#elif DECAY == 1
  return fade_load(head_row(place.b, t, place.h));
#else
  return 1.0;
#endif
}

/// k of token t, times what is left of the state before the chunk (`growing`) or what is left of the token at its end.
fn key_of(place: Place, t: u32, key: u32, growing: bool) -> f32 {
  if (t >= place.end || key >= KEYS) {
    return 0.0;
  }
  let k = k_load(key_row(place.b, t, place.h) * KEYS + key);
  if (growing) {
    return k * grow_of(place, t, key);
  }
  return k * fade_of(place, t, key);
}

#if HAS_Q
fn query_of(place: Place, t: u32, key: u32, reader: u32) -> f32 {
  if (t >= place.end || key >= KEYS) {
    return 0.0;
  }
  return q_load(query_row(place.b, t, place.h * READERS + reader) * KEYS + key) * grow_of(place, t, key);
}

/// Rows of the slab are keys from key0 on, its columns tokens.
fn stage_queries_by_key(place: Place, key0: u32, reader: u32) {
  for (var n = place.thread; n < LENGTH * LENGTH / ROWS; n += TEAM) {
    let key = key0 + n % LENGTH;
    let t = place.first + n / LENGTH * ROWS;
#if ROWS == 2
    slab[n % LENGTH * STRIDE + n / LENGTH] = R(query_of(place, t, key, reader), query_of(place, t + 1u, key, reader));
#else
    slab[n % LENGTH * STRIDE + n / LENGTH] = query_of(place, t, key, reader);
#endif
  }
}

/// Rows of the slab are tokens, its columns keys from key0 on.
fn stage_queries_by_token(place: Place, key0: u32, reader: u32) {
  for (var n = place.thread; n < LENGTH * LENGTH / ROWS; n += TEAM) {
    let t = place.first + n / (LENGTH / ROWS);
    let key = key0 + n % (LENGTH / ROWS) * ROWS;
#if ROWS == 2
    slab[n / (LENGTH / ROWS) * STRIDE + n % (LENGTH / ROWS)] =
      R(query_of(place, t, key, reader), query_of(place, t, key + 1u, reader));
#else
    slab[n / LENGTH * STRIDE + n % LENGTH] = query_of(place, t, key, reader);
#endif
  }
}
#endif

fn stage_keys_by_key(place: Place, key0: u32, growing: bool) {
  for (var n = place.thread; n < LENGTH * LENGTH / ROWS; n += TEAM) {
    let key = key0 + n % LENGTH;
    let t = place.first + n / LENGTH * ROWS;
#if ROWS == 2
    slab[n % LENGTH * STRIDE + n / LENGTH] = R(key_of(place, t, key, growing), key_of(place, t + 1u, key, growing));
#else
    slab[n % LENGTH * STRIDE + n / LENGTH] = key_of(place, t, key, growing);
#endif
  }
}

fn stage_keys_by_token(place: Place, key0: u32, growing: bool) {
  for (var n = place.thread; n < LENGTH * LENGTH / ROWS; n += TEAM) {
    let t = place.first + n / (LENGTH / ROWS);
    let key = key0 + n % (LENGTH / ROWS) * ROWS;
#if ROWS == 2
    slab[n / (LENGTH / ROWS) * STRIDE + n % (LENGTH / ROWS)] =
      R(key_of(place, t, key, growing), key_of(place, t, key + 1u, growing));
#else
    slab[n / LENGTH * STRIDE + n % LENGTH] = key_of(place, t, key, growing);
#endif
  }
}

#if HAS_V
/// Four columns of v, zero outside.
fn values_of(place: Place, t: u32) -> vec4<f32> {
  var value = vec4<f32>(0.0);
  if (t < place.end) {
    let at = head_row(place.b, t, place.h) * VALUES + place.column;
#for c in 0..4
    if (place.column + $c < VALUES) {
      value[$c] = v_load(at + $c);
    }
#endfor
  }
  return value;
}
#endif

/// What is left at the end of the chunk of the state before it.
fn total_of(place: Place, key: u32) -> f32 {
#if DECAY
  if (key >= KEYS) {
    return 0.0;
  }
#endif
  return grow_of(place, place.end - 1u, key);
}

/// First element of row `key` of this head's state number `index` of [index, HEADS, KEYS, VALUES].
fn state_at(index: u32, place: Place, key: u32) -> u32 {
  return ((index * HEADS + place.h) * KEYS + key) * VALUES + place.column;
}
