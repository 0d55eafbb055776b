// Tiles of 32 tokens x 32 keys for key_gradient: what is staged in workgroup memory, and products of 4 x 4 per thread.
#include "linear_attention/heads.wgsl"
const LENGTH = 32u;
const STRIDE = 9u;

var<workgroup> left_slab: array<vec4<f32>, LENGTH * STRIDE>;
var<workgroup> right_slab: array<vec4<f32>, LENGTH * STRIDE>;
#if DECAY == 2
var<workgroup> decay_slab: array<vec4<f32>, LENGTH * STRIDE>;
#endif
#if HAS_DDECAY
var<workgroup> carried: array<vec4<f32>, 64>;
#if DECAY == 1
var<workgroup> reads: array<f32, LENGTH>;
var<workgroup> kept: array<f32, LENGTH>;
#endif
#endif

#if VECTOR_KEYS
alias E = vec4<f32>;
fn k_get(i: u32) -> E { return k_load4(i / 4u); }
fn q_get(i: u32) -> E { return q_load4(i / 4u); }
#if DECAY == 2
fn grow_get(i: u32) -> E { return grow_load4(i / 4u); }
fn fade_get(i: u32) -> E { return fade_load4(i / 4u); }
fn decay_get(i: u32) -> E { return decay_load4(i / 4u); }
#endif
#else
alias E = f32;
fn k_get(i: u32) -> E { return k_load(i); }
fn q_get(i: u32) -> E { return q_load(i); }
#if DECAY == 2
fn grow_get(i: u32) -> E { return grow_load(i); }
fn fade_get(i: u32) -> E { return fade_load(i); }
fn decay_get(i: u32) -> E { return decay_load(i); }
#endif
#endif

alias Tile = array<vec4<f32>, 4>;

struct Place { b: u32, h: u32, first: u32, end: u32, index: u32, key0: u32, thread: u32, i4: u32, k4: u32 }

/// Rows that the tile of 32 tokens and 32 keys is read from: queries, the key, what is left of the state, of the token.
const KEY = READERS;
const GROW = READERS + 1u;
const FADE = READERS + 2u;
const KEPT = READERS + 3u;

/// Element (or, where the sizes allow it, quad of elements) k of row `which` of token t.
fn row_element(place: Place, which: u32, t: u32, k: u32) -> E {
  if (which < READERS) {
    return E(q_get(query_row(place.b, t, place.h * READERS + which) * uniforms.keys + k));
  }
  if (which == KEY) {
    return E(k_get(key_row(place.b, t, place.h) * uniforms.keys + k));
  }
#if DECAY == 2
  if (which == GROW) {
    return E(grow_get(head_row(place.b, t, place.h) * uniforms.keys + k));
  }
  if (which == FADE) {
    return E(fade_get(head_row(place.b, t, place.h) * uniforms.keys + k));
  }
  return exp(E(decay_get(place.b * uniforms.decay_batch + t * uniforms.decay_time + place.h * uniforms.keys + k)));
#elif DECAY == 1
  if (which == GROW) {
    return E(grow_load(head_row(place.b, t, place.h)));
  }
  return E(fade_load(head_row(place.b, t, place.h)));
#else
  return E(1.0);
#endif
}

fn row_quad(place: Place, which: u32, t: u32, k4: u32) -> vec4<f32> {
  let k = place.key0 + k4 * 4u;
  var quad = vec4<f32>(select(0.0, 1.0, which == KEPT));
  if (t < place.end) {
#if VECTOR_KEYS
    if (k < uniforms.keys) {
      quad = row_element(place, which, t, k);
    }
#else
    for (var c = 0u; c < min(4u, max(k, uniforms.keys) - k); c++) {
      quad[c] = row_element(place, which, t, k + c);
    }
#endif
  }
  return quad;
}

/// This thread's 4 tokens x 4 keys of right_slab.
fn own(place: Place) -> Tile {
  var tile: Tile;
#for r in 0..4
  tile[$r] = right_slab[(place.i4 * 4u + $r) * STRIDE + place.k4];
#endfor
  return tile;
}

/// right_slab becomes rows `which`, [32 tokens][32 keys].
fn stage_rows(place: Place, which: u32) {
  for (var n = place.thread; n < LENGTH * 8u; n += 64u) {
    right_slab[n / 8u * STRIDE + n % 8u] = row_quad(place, which, place.first + n / 8u, n % 8u);
  }
}

/// What tokens hold of the values: scale dy of a reader, what they write (READERS + 1), the gradient of that (READERS).
fn value_of(place: Place, which: u32, t: u32, column: u32) -> f32 {
  if (t >= place.end || column >= uniforms.values) {
    return 0.0;
  }
  if (which == READERS + 1u) {
    return writes_load(head_row(place.b, t, place.h) * uniforms.values + column);
  }
#if DELTA
  if (which == READERS) {
    return dv_load(head_row(place.b, t, place.h) * uniforms.values + column);
  }
#endif
#if HAS_DY
  return uniforms.scale * dy_load(output_row(place.b, t, place.h * READERS + which) * uniforms.values + column);
#else
  return 0.0;
#endif
}

/// The state before the chunk, which is kept at every second chunk only here, at the others there; dS after the chunk.
fn state_of(place: Place, after: bool, k: u32, column: u32) -> f32 {
  if (k >= uniforms.keys || column >= uniforms.values) {
    return 0.0;
  }
  let at = (place.h * uniforms.keys + k) * uniforms.values + column;
  if (after) {
    return ends_load(place.index * uniforms.heads * uniforms.keys * uniforms.values + at);
  }
  let chunk = place.index % uniforms.chunks;
#if HAS_MIDDLES
  if (chunk % 2u == 1u) {
    return middles_load((place.b * (uniforms.chunks / 2u) + chunk / 2u) * uniforms.heads * uniforms.keys * uniforms.values + at);
  }
#endif
  return starts_load((place.b * ((uniforms.chunks + 1u) / 2u) + chunk / 2u) * uniforms.heads * uniforms.keys * uniforms.values + at);
}

/// right_slab becomes 32 columns of a state, [32 columns][32 keys].
fn stage_state(place: Place, after: bool, column0: u32, into_left: bool) {
  for (var n = place.thread; n < LENGTH * 8u; n += 64u) {
    let column = column0 + n % LENGTH;
    let k = place.key0 + n / LENGTH * 4u;
    var quad: vec4<f32>;
    for (var c = 0u; c < 4u; c++) {
      quad[c] = state_of(place, after, k + c, column);
    }
    let at = n % LENGTH * STRIDE + n / LENGTH;
    if (into_left) {
      left_slab[at] = quad;
    } else {
      right_slab[at] = quad;
    }
  }
}

fn stage_values(place: Place, which: u32, column0: u32) {
  for (var n = place.thread; n < LENGTH * 8u; n += 64u) {
    let column = column0 + n % LENGTH;
    let t = place.first + n / LENGTH * 4u;
    var quad: vec4<f32>;
    for (var c = 0u; c < 4u; c++) {
      quad[c] = value_of(place, which, t + c, column);
    }
    left_slab[n % LENGTH * STRIDE + n / LENGTH] = quad;
  }
}

/// left_slab^T right_slab: 4 x 4 of it.
fn product(place: Place) -> Tile {
  var sum = Tile();
  for (var s = 0u; s < LENGTH; s++) {
    let x = left_slab[s * STRIDE + place.i4];
    let y = right_slab[s * STRIDE + place.k4];
    sum[0] += x.x * y;
    sum[1] += x.y * y;
    sum[2] += x.z * y;
    sum[3] += x.w * y;
  }
  return sum;
}

/// Values of tokens times a state: [tokens][keys].
fn values_by_state(place: Place, which: u32, after: bool) -> Tile {
  var sum = Tile();
  for (var column0 = 0u; column0 < uniforms.values; column0 += LENGTH) {
    workgroupBarrier();
    stage_values(place, which, column0);
    stage_state(place, after, column0, false);
    workgroupBarrier();
    let part = product(place);
#for r in 0..4
    sum[$r] += part[$r];
#endfor
#if HAS_DDECAY
    if (after) {
      workgroupBarrier();
      stage_state(place, false, column0, true);
      workgroupBarrier();
      for (var s = place.i4; s < LENGTH; s += 8u) {
        carried[place.thread] += left_slab[s * STRIDE + place.k4] * right_slab[s * STRIDE + place.k4];
      }
    }
#endif
  }
  return sum;
}

fn pair_gradient(place: Place, which: u32, i: u32, j: u32) -> f32 {
#if DELTA
  if (which == READERS) {
    return dkeys_load((place.index * uniforms.heads + place.h) * LENGTH * LENGTH + i * LENGTH + j);
  }
#endif
#if HAS_DY
  return dpairs_load((place.index * uniforms.outputs + place.h * READERS + which) * LENGTH * LENGTH + i * LENGTH + j);
#else
  return 0.0;
#endif
}

/// left_slab becomes gradients of pairs by [j][i], or [i][j] where the later token is summed over.
fn stage_pairs(place: Place, which: u32, sum_later: bool) {
  for (var n = place.thread; n < LENGTH * 8u; n += 64u) {
    let row = select(n % LENGTH, n / 8u, sum_later);
    let quad_of_row = select(n / LENGTH, n % 8u, sum_later);
    var quad: vec4<f32>;
    for (var c = 0u; c < 4u; c++) {
      let other = quad_of_row * 4u + c;
      quad[c] = pair_gradient(place, which, select(other, row, sum_later), select(row, other, sum_later));
    }
    left_slab[row * STRIDE + quad_of_row] = quad;
  }
}

#if DECAY == 2
/// Sum over j < i of left_slab[j][i] right_slab[j], weighted by what the tokens j + 1 ... i leave.
fn earlier(place: Place) -> Tile {
  var sum = Tile();
  for (var j = 0u; j < LENGTH; j++) {
    let x = left_slab[j * STRIDE + place.i4];
    let y = right_slab[j * STRIDE + place.k4];
    let decay = decay_slab[j * STRIDE + place.k4];
#for r in 0..4
    if (j <= place.i4 * 4u + $r) {
      sum[$r] *= decay;
    }
    if (j < place.i4 * 4u + $r) {
      sum[$r] += x[$r] * y;
    }
#endfor
  }
  return sum;
}

/// Sum over i > j of left_slab[i][j] right_slab[i], weighted by what the tokens j + 1 ... i leave.
fn later(place: Place) -> Tile {
  var sum = Tile();
  for (var i = LENGTH - 1u; i > 0u; i--) {
    let x = left_slab[i * STRIDE + place.i4];
    let y = right_slab[i * STRIDE + place.k4];
    let decay = decay_slab[i * STRIDE + place.k4];
#for r in 0..4
    if (i > place.i4 * 4u + $r) {
      sum[$r] = (sum[$r] + x[$r] * y) * decay;
    }
#endfor
  }
  return sum;
}
#endif
