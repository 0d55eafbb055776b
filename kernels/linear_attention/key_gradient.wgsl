// Gradients of q and k (per output and per state head) and of decay, from the gradients of a chunk's pairs (LENGTH = 32), the
// state S before the chunk and the gradient dS of the state after it; formulas in docs/notes/gpu-linear-attention.md.
// A workgroup of 64 threads per (b, chunk, head, 32 keys): 4 tokens x 4 keys a thread. Decay per key: pairs are weighted by
// carrying sums from token to token, multiplied by what each token leaves, so that no exponential can overflow.
#include "linear_attention/key_tiles.wgsl"

#if HAS_DQ
/// Four keys of row `row` of dq.
fn store_dq(row: u32, place: Place, value: vec4<f32>) {
  let k = place.key0 + place.k4 * 4u;
#if VECTOR_KEYS
  if (k < uniforms.keys) {
    dq_store4((row * uniforms.keys + k) / 4u, value);
  }
#else
#for c in 0..4
  if (k + $c < uniforms.keys) {
    dq_store(row * uniforms.keys + k + $c, value[$c]);
  }
#endfor
#endif
}
#endif

#if HAS_DK
/// Four keys of row `row` of dk.
fn store_dk(row: u32, place: Place, value: vec4<f32>) {
  let k = place.key0 + place.k4 * 4u;
#if VECTOR_KEYS
  if (k < uniforms.keys) {
    dk_store4((row * uniforms.keys + k) / 4u, value);
  }
#else
#for c in 0..4
  if (k + $c < uniforms.keys) {
    dk_store(row * uniforms.keys + k + $c, value[$c]);
  }
#endfor
#endif
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
  let index = group / uniforms.key_blocks / uniforms.heads;
  let first = index % uniforms.chunks * LENGTH;
  let place = Place(index / uniforms.chunks, group / uniforms.key_blocks % uniforms.heads, first, min(first + LENGTH, uniforms.time), index,
    group % uniforms.key_blocks * 32u, thread, thread / 8u, thread % 8u);
  // Gradient of k, and for that of decay what is read of the state (and with decay per key of earlier tokens, less what is
  // read later) and what is written into it, each times its own gradient.
  var dk = Tile();
  var read = Tile();
#if HAS_DDECAY
  carried[thread] = vec4<f32>(0.0);
#endif
#if DECAY == 2
  for (var n = thread; n < LENGTH * 8u; n += 64u) {
    decay_slab[n / 8u * STRIDE + n % 8u] = row_quad(place, KEPT, first + n / 8u, n % 8u);
  }
#endif
  var kept_of_writes = Tile();
  // Readers of the state, then the delta rules' own reading of it (READERS), then what tokens write (READERS + 1).
  for (var which = FIRST; which <= READERS + 1u; which++) {
#if DELTA == 0
    if (which == READERS) {
      continue;
    }
#endif
    var outer = values_by_state(place, which, which > READERS);
    if (which > READERS) {
      for (var r = 0u; r < 4u; r++) {
        kept_of_writes[r] = outer[r] * row_quad(place, FADE, first + place.i4 * 4u + r, place.k4);
        dk[r] += kept_of_writes[r];
      }
      continue;
    }
    for (var r = 0u; r < 4u; r++) {
      outer[r] *= row_quad(place, GROW, first + place.i4 * 4u + r, place.k4);
    }
    // Of earlier tokens with the keys, then of later ones with the queries.
    var key: Tile;
    var query: Tile;
    var inside: Tile;
    var from_later: Tile;
    var itself = vec4<f32>(0.0);
    for (var phase = 0u; phase < 2u; phase++) {
      workgroupBarrier();
      stage_pairs(place, which, phase == 1u);
      stage_rows(place, select(which, KEY, phase == 0u));
      workgroupBarrier();
      query = own(place);
#if DECAY == 2
      if (phase == 0u) {
        key = query;
        inside = earlier(place);
        if (which < READERS) {
          for (var r = 0u; r < 4u; r++) {
            itself[r] = left_slab[(place.i4 * 4u + r) * STRIDE + place.i4][r];
          }
        }
      } else {
        from_later = later(place);
      }
#else
      from_later = product(place);
      if (phase == 0u) {
        key = query;
        inside = from_later;
      }
#endif
    }
    for (var r = 0u; r < 4u; r++) {
#if DECAY == 2
      read[r] += query[r] * inside[r] - key[r] * from_later[r];
      dk[r] += itself[r] * query[r];
#endif
      dk[r] += from_later[r];
    }
    if (which == READERS) {
      for (var r = 0u; r < 4u; r++) {
        dk[r] += inside[r] - outer[r];
        read[r] -= key[r] * outer[r];
      }
      continue;
    }
    for (var r = 0u; r < 4u; r++) {
      read[r] += query[r] * outer[r];
      outer[r] += inside[r];
#if DECAY == 2
      outer[r] += itself[r] * key[r];
#endif
#if HAS_DQ
      if (first + place.i4 * 4u + r < place.end) {
        store_dq(output_row(place.b, first + place.i4 * 4u + r, place.h * READERS + which), place, outer[r]);
      }
#endif
    }
  }
#if HAS_DQ && FIRST > 0
  // No gradient of y: none of the queries.
  for (var reader = 0u; reader < READERS; reader++) {
    for (var r = 0u; r < 4u; r++) {
      if (first + place.i4 * 4u + r < place.end) {
        store_dq(output_row(place.b, first + place.i4 * 4u + r, place.h * READERS + reader), place, vec4<f32>(0.0));
      }
    }
  }
#endif
#if HAS_DK
  for (var r = 0u; r < 4u; r++) {
    if (first + place.i4 * 4u + r < place.end) {
      store_dk(head_row(place.b, first + place.i4 * 4u + r, place.h), place, dk[r]);
    }
  }
#endif
#if HAS_DDECAY
  // Log decay of token t: what is read at t or later of what came before, and what is kept of it to the end of the chunk.
  workgroupBarrier();
  stage_rows(place, KEY);
  workgroupBarrier();
  for (var r = 0u; r < 4u; r++) {
    left_slab[(place.i4 * 4u + r) * STRIDE + place.k4] = read[r];
    right_slab[(place.i4 * 4u + r) * STRIDE + place.k4] *= kept_of_writes[r];
  }
  if (thread < 8u) {
    var sum = vec4<f32>(0.0);
    for (var part = 0u; part < 8u; part++) {
      sum += carried[part * 8u + thread];
    }
    carried[thread] = sum * row_quad(place, GROW, place.end - 1u, thread);
  }
  workgroupBarrier();
#if DECAY == 2
  if (thread < 8u) {
    var sum = vec4<f32>(0.0);
    for (var n = LENGTH; n > 0u; n--) {
      sum += left_slab[(n - 1u) * STRIDE + thread];
      left_slab[(n - 1u) * STRIDE + thread] = sum;
    }
    sum = carried[thread];
    for (var n = 0u; first + n < place.end; n++) {
      let gradient = sum + left_slab[n * STRIDE + thread];
#for c in 0..4
      if (place.key0 + thread * 4u + $c < uniforms.keys) {
        ddecay_store(head_row(place.b, first + n, place.h) * uniforms.keys + place.key0 + thread * 4u + $c, gradient[$c]);
      }
#endfor
      sum += right_slab[n * STRIDE + thread];
    }
  }
#else
  if (thread < LENGTH) {
    var sums = vec4<f32>(0.0);
    var kept_sums = vec4<f32>(0.0);
    for (var quad = 0u; quad < 8u; quad++) {
      sums += left_slab[thread * STRIDE + quad];
      kept_sums += right_slab[thread * STRIDE + quad];
    }
    reads[thread] = dot(sums, vec4<f32>(1.0));
    kept[thread] = dot(kept_sums, vec4<f32>(1.0));
  }
  workgroupBarrier();
  if (first + thread < place.end) {
    var sum = 0.0;
    for (var quad = 0u; quad < 8u; quad++) {
      sum += dot(carried[quad], vec4<f32>(1.0));
    }
    for (var n = 0u; n < thread; n++) {
      sum += kept[n];
    }
    for (var n = thread; n < LENGTH; n++) {
      sum += reads[n];
    }
    ddecay_store(group % uniforms.key_blocks * uniforms.rows + head_row(place.b, first + thread, place.h), sum);
  }
#endif
#endif
}
