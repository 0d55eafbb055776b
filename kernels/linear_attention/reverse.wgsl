// Backward through the chunks of 32 tokens, last to first: with dS the gradient of the state after the chunk, dO = scale dy,
//   du = fade k dS + sum over readers of pairs^T dO,  dv = beta inverse^T du  (delta rules; else dv = du),
//   dS <- total dS + sum over readers of (grow q)^T dO - (grow k)^T dv  (the last term for the delta rules).
// A workgroup per (b, head, COLUMNS value columns), dS in workgroup memory; keeps dS of every chunk and parts of dbeta.
#include "linear_attention/columns.wgsl"
#if DELTA
var<workgroup> sums: array<f32, LENGTH * QUADS>;
#endif

#if HAS_PAIRS
/// Transposed: row i of the slab is row i of pairs.
fn stage_pairs(place: Place, reader: u32) {
  let at = (place.chunk * OUTPUTS + place.h * READERS + reader) * LENGTH * LENGTH;
  for (var n = place.thread; n < LENGTH * LENGTH / ROWS; n += TEAM) {
#if ROWS == 2
    slab[n / 16u * STRIDE + n % 16u] = R(pairs_load(at + 2u * n), pairs_load(at + 2u * n + 1u));
#else
    slab[n / LENGTH * STRIDE + n % LENGTH] = pairs_load(at + n);
#endif
  }
}
#endif

#if DELTA
fn stage_inverse(place: Place) {
  let at = (place.chunk * HEADS + place.h) * LENGTH * LENGTH;
  for (var n = place.thread; n < LENGTH * LENGTH / ROWS; n += TEAM) {
#if ROWS == 2
    slab[n / 16u * STRIDE + n % 16u] = R(inverse_load(at + 2u * n), inverse_load(at + 2u * n + 1u));
#else
    slab[n / LENGTH * STRIDE + n % LENGTH] = inverse_load(at + n);
#endif
  }
}
#endif

#if HAS_DY
/// scale dy of this thread's rows and columns.
fn upstream(place: Place, reader: u32) -> Rows {
  var value = Rows();
#for r in 0..ROWS
  {
    let t = place.first + place.row + $r;
    if (t < place.end) {
      let at = output_row(place.b, t, place.h * READERS + reader) * VALUES + place.column;
#for c in 0..4
      if (place.column + $c < VALUES) {
        value[$r][$c] = SCALE * dy_load(at + $c);
      }
#endfor
    }
  }
#endfor
  return value;
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
  var place: Place;
  let block = group % BLOCKS;
  place.h = group / BLOCKS % HEADS;
  place.b = group / BLOCKS / HEADS;
  place.thread = thread;
  place.quad = thread % QUADS;
  place.row = thread / QUADS * ROWS;
  place.column = block * COLUMNS + place.quad * 4u;

  for (var key0 = 0u; key0 < PADDED; key0 += LENGTH) {
#for r in 0..ROWS
    {
      let key = key0 + place.row + $r;
      var value = vec4<f32>(0.0);
#if HAS_DFINAL
#for c in 0..4
      if (key < KEYS && place.column + $c < VALUES) {
        value[$c] = dfinal_load(state_at(place.b, place, key) + $c);
      }
#endfor
#endif
      tile[key * QUADS + place.quad] = value;
    }
#endfor
  }

  for (var back = 0u; back < uniforms.chunks; back++) {
    let chunk = uniforms.chunks - 1u - back;
    place.chunk = place.b * uniforms.chunks + chunk;
    place.first = chunk * LENGTH;
    place.end = min(place.first + LENGTH, uniforms.time);
    let t = place.first + place.row;
#if HAS_ENDS
    for (var key0 = 0u; key0 < PADDED; key0 += LENGTH) {
#for r in 0..ROWS
#for c in 0..4
      if (key0 + place.row + $r < KEYS && place.column + $c < VALUES) {
        let value = tile[(key0 + place.row + $r) * QUADS + place.quad][$c];
        ends_store(state_at(place.chunk, place, key0 + place.row + $r) + $c, value);
      }
#endfor
#endfor
    }
#endif
    var dwritten = Rows();
    for (var key0 = 0u; key0 < PADDED; key0 += LENGTH) {
      workgroupBarrier();
      stage_keys_by_key(place, key0, false);
      workgroupBarrier();
      let part = product(key0 * QUADS, place);
#for r in 0..ROWS
      dwritten[$r] += part[$r];
#endfor
    }
#if HAS_DY
    for (var reader = 0u; reader < READERS; reader++) {
      workgroupBarrier();
      set_rows(TOKENS, place, upstream(place, reader));
      stage_pairs(place, reader);
      workgroupBarrier();
      let part = product(TOKENS, place);
#for r in 0..ROWS
      dwritten[$r] += part[$r];
#endfor
    }
#endif
#if DELTA
    workgroupBarrier();
    set_rows(TOKENS, place, dwritten);
    stage_inverse(place);
    workgroupBarrier();
    dwritten = product(TOKENS, place);
#for r in 0..ROWS
    {
      var sum = 0.0;
      var beta = 0.0;
      if (t + $r < place.end) {
        let row = head_row(place.b, t + $r, place.h);
        beta = beta_load(row);
#for c in 0..4
        if (place.column + $c < VALUES) {
          sum += dwritten[$r][$c] * errors_load(row * VALUES + place.column + $c);
        }
#endfor
      }
      sums[(place.row + $r) * QUADS + place.quad] = sum;
      dwritten[$r] *= beta;
    }
#endfor
    workgroupBarrier();
    for (var n = thread; n < place.end - place.first; n += TEAM) {
      var sum = 0.0;
      for (var quad = 0u; quad < QUADS; quad++) {
        sum += sums[n * QUADS + quad];
      }
      dbetas_store(block * uniforms.rows + head_row(place.b, place.first + n, place.h), sum);
    }
#endif
#for r in 0..ROWS
    if (t + $r < place.end) {
      let at = head_row(place.b, t + $r, place.h) * VALUES + place.column;
#for c in 0..4
      if (place.column + $c < VALUES) {
        dv_store(at + $c, dwritten[$r][$c]);
      }
#endfor
    }
#endfor
    // The gradient of the state before the chunk.
    workgroupBarrier();
    for (var key0 = 0u; key0 < PADDED; key0 += LENGTH) {
#for r in 0..ROWS
      tile[(key0 + place.row + $r) * QUADS + place.quad] *= total_of(place, key0 + place.row + $r);
#endfor
    }
#if HAS_DY
    for (var reader = 0u; reader < READERS; reader++) {
      workgroupBarrier();
      set_rows(TOKENS, place, upstream(place, reader));
      for (var key0 = 0u; key0 < PADDED; key0 += LENGTH) {
        workgroupBarrier();
        stage_queries_by_token(place, key0, reader);
        workgroupBarrier();
        let part = product(TOKENS, place);
#for r in 0..ROWS
        tile[(key0 + place.row + $r) * QUADS + place.quad] += part[$r];
#endfor
      }
    }
#endif
#if DELTA
    workgroupBarrier();
    set_rows(TOKENS, place, dwritten);
    for (var key0 = 0u; key0 < PADDED; key0 += LENGTH) {
      workgroupBarrier();
      stage_keys_by_token(place, key0, true);
      workgroupBarrier();
      let part = product(TOKENS, place);
#for r in 0..ROWS
      tile[(key0 + place.row + $r) * QUADS + place.quad] -= part[$r];
#endfor
    }
#endif
  }
#if HAS_DS0
  for (var key0 = 0u; key0 < PADDED; key0 += LENGTH) {
#for r in 0..ROWS
#for c in 0..4
    if (key0 + place.row + $r < KEYS && place.column + $c < VALUES) {
      let value = tile[(key0 + place.row + $r) * QUADS + place.quad][$c];
      ds0_store(state_at(place.b, place, key0 + place.row + $r) + $c, value);
    }
#endfor
#endfor
  }
#endif
}
