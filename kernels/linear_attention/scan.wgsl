// linear_attention chunk by chunk of 32 tokens (WY form; Yang et al. 2024): with S the state before the chunk,
//   u = inverse beta (v - grow k S)  (delta rules; else u = v),  y = scale (pairs u + grow q S),  S <- total S + (fade k)^T u.
// A workgroup per (b, segment of SPAN chunks or all of them, head, COLUMNS value columns), its state in workgroup memory.
#include "linear_attention/columns.wgsl"

#if DELTA
fn stage_inverse(place: Place) {
  let at = (place.chunk * HEADS + place.h) * LENGTH * LENGTH;
  for (var n = place.thread; n < LENGTH * LENGTH / ROWS; n += TEAM) {
    let s = n % LENGTH;
    let t = n / LENGTH * ROWS;
#if ROWS == 2
    slab[s * STRIDE + n / LENGTH] = R(inverse_load(at + t * LENGTH + s), inverse_load(at + (t + 1u) * LENGTH + s));
#else
    slab[s * STRIDE + n / LENGTH] = inverse_load(at + t * LENGTH + s);
#endif
  }
}
#endif

#if HAS_KEYS
fn stage_key_pairs(place: Place) {
  let at = (place.chunk * HEADS + place.h) * LENGTH * LENGTH;
  for (var n = place.thread; n < LENGTH * LENGTH / ROWS; n += TEAM) {
    let s = n % LENGTH;
    let t = n / LENGTH * ROWS;
#if ROWS == 2
    slab[s * STRIDE + n / LENGTH] = R(keys_load(at + t * LENGTH + s), keys_load(at + (t + 1u) * LENGTH + s));
#else
    slab[s * STRIDE + n / LENGTH] = keys_load(at + t * LENGTH + s);
#endif
  }
}
#endif

#if HAS_PAIRS
fn stage_pairs(place: Place, reader: u32) {
  let at = (place.chunk * OUTPUTS + place.h * READERS + reader) * LENGTH * LENGTH;
  for (var n = place.thread; n < LENGTH * LENGTH / ROWS; n += TEAM) {
    let s = n % LENGTH;
    let t = n / LENGTH * ROWS;
#if ROWS == 2
    slab[s * STRIDE + n / LENGTH] = R(pairs_load(at + t * LENGTH + s), pairs_load(at + (t + 1u) * LENGTH + s));
#else
    slab[s * STRIDE + n / LENGTH] = pairs_load(at + t * LENGTH + s);
#endif
  }
}
#endif

@compute @workgroup_size(TEAM)
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let group = id.x + id.y * groups.x;
  if (group >= uniforms.groups) {
    return;
  }
  let segment = group / BLOCKS / HEADS;
  var place: Place;
  place.h = group / BLOCKS % HEADS;
  place.thread = thread;
  place.quad = thread % QUADS;
  place.row = thread / QUADS * ROWS;
  place.column = group % BLOCKS * COLUMNS + place.quad * 4u;
  place.b = segment / uniforms.segments;
  let c0 = segment % uniforms.segments * uniforms.span;
  let c1 = min(c0 + uniforms.span, uniforms.chunks);

  for (var key0 = 0u; key0 < PADDED; key0 += LENGTH) {
#for r in 0..ROWS
    {
      let key = key0 + place.row + $r;
      var value = vec4<f32>(0.0);
#if HAS_S0
#for c in 0..4
      if (key < KEYS && place.column + $c < VALUES) {
        value[$c] = s0_load(state_at(segment, place, key) + $c);
      }
#endfor
#endif
      tile[key * QUADS + place.quad] = value;
    }
#endfor
  }

  for (var c = c0; c < c1; c++) {
    place.chunk = place.b * uniforms.chunks + c;
    place.first = c * LENGTH;
    place.end = min(place.first + LENGTH, uniforms.time);
    let t = place.first + place.row;
#if HAS_STARTS || HAS_MIDDLES
    for (var key0 = 0u; key0 < PADDED; key0 += LENGTH) {
#for r in 0..ROWS
#for c in 0..4
      if (key0 + place.row + $r < KEYS && place.column + $c < VALUES) {
        let value = tile[(key0 + place.row + $r) * QUADS + place.quad][$c];
#if HAS_STARTS
        if (c % 2u == 0u) {
          let index = place.b * ((uniforms.chunks + 1u) / 2u) + c / 2u;
          starts_store(state_at(index, place, key0 + place.row + $r) + $c, value);
        }
#endif
#if HAS_MIDDLES
        if (c % 2u == 1u) {
          let index = place.b * (uniforms.chunks / 2u) + c / 2u;
          middles_store(state_at(index, place, key0 + place.row + $r) + $c, value);
        }
#endif
      }
#endfor
#endfor
    }
#endif
    // What the tokens write.
    var written: Rows;
#for r in 0..ROWS
    written[$r] = values_of(place, t + $r);
#endfor
#if DELTA
    var held = Rows();
    for (var key0 = 0u; key0 < PADDED; key0 += LENGTH) {
      workgroupBarrier();
      stage_keys_by_key(place, key0, true);
      workgroupBarrier();
      let part = product(key0 * QUADS, place);
#for r in 0..ROWS
      held[$r] += part[$r];
#endfor
    }
    var surprise: Rows;
    var weighted: Rows;
#for r in 0..ROWS
    surprise[$r] = written[$r] - held[$r];
    if (t + $r < place.end) {
      weighted[$r] = beta_load(head_row(place.b, t + $r, place.h)) * surprise[$r];
    } else {
      weighted[$r] = vec4<f32>(0.0);
    }
#endfor
    workgroupBarrier();
    set_rows(TOKENS, place, weighted);
    stage_inverse(place);
    workgroupBarrier();
    written = product(TOKENS, place);
    workgroupBarrier();
    set_rows(TOKENS, place, written);
#if HAS_ERRORS
    // v less what the state holds for the key at that token, inside the chunk too.
    stage_key_pairs(place);
    workgroupBarrier();
    let inside = product(TOKENS, place);
#for r in 0..ROWS
    surprise[$r] -= inside[$r];
#endfor
#for r in 0..ROWS
#for c in 0..4
    if (t + $r < place.end && place.column + $c < VALUES) {
      errors_store(head_row(place.b, t + $r, place.h) * VALUES + place.column + $c, surprise[$r][$c]);
      writes_store(head_row(place.b, t + $r, place.h) * VALUES + place.column + $c, written[$r][$c]);
    }
#endfor
#endfor
#endif
#else
    workgroupBarrier();
    set_rows(TOKENS, place, written);
#endif
#if HAS_Y
    for (var reader = 0u; reader < READERS; reader++) {
      var seen = Rows();
      for (var key0 = 0u; key0 < PADDED; key0 += LENGTH) {
        workgroupBarrier();
        stage_queries_by_key(place, key0, reader);
        workgroupBarrier();
        let part = product(key0 * QUADS, place);
#for r in 0..ROWS
        seen[$r] += part[$r];
#endfor
      }
      workgroupBarrier();
      stage_pairs(place, reader);
      workgroupBarrier();
      let part = product(TOKENS, place);
#for r in 0..ROWS
      if (t + $r < place.end) {
        let at = output_row(place.b, t + $r, place.h * READERS + reader) * VALUES + place.column;
        let value = SCALE * (seen[$r] + part[$r]);
#for c in 0..4
        if (place.column + $c < VALUES) {
          y_store(at + $c, value[$c]);
        }
#endfor
      }
#endfor
    }
#endif
#if HAS_FINAL == 0
    // Nobody reads the last state of a segment.
    if (c + 1u == c1) {
      break;
    }
#endif
    for (var key0 = 0u; key0 < PADDED; key0 += LENGTH) {
      workgroupBarrier();
      stage_keys_by_token(place, key0, false);
      workgroupBarrier();
      let part = product(TOKENS, place);
#for r in 0..ROWS
      {
        let key = key0 + place.row + $r;
        let at = key * QUADS + place.quad;
        tile[at] = total_of(place, key) * tile[at] + part[$r];
      }
#endfor
    }
  }
#if HAS_FINAL
  for (var key0 = 0u; key0 < PADDED; key0 += LENGTH) {
#for r in 0..ROWS
#for c in 0..4
    if (key0 + place.row + $r < KEYS && place.column + $c < VALUES) {
      let value = tile[(key0 + place.row + $r) * QUADS + place.quad][$c];
      final_store(state_at(place.b, place, key0 + place.row + $r) + $c, value);
    }
#endfor
#endfor
  }
#endif
}
