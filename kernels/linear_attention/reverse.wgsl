// Backward through the chunks of 32 tokens, last to first: with dS the gradient of the state after the chunk, dO = scale dy,
//   du = fade k dS + sum over readers of pairs^T dO,  dv = beta inverse^T du  (delta rules; else dv = du),
//   dS <- total dS + sum over readers of (grow q)^T dO - (grow k)^T dv  (the last term for the delta rules).
// A workgroup per (b, head, COLUMNS value columns), a column per thread; keeps dS of every chunk and parts of dbeta.
#include "linear_attention/columns.wgsl"

/// Gradient of what the chunk's tokens write in this thread's column.
var<private> total: array<vec4<f32>, 8>;

fn total_into_lines(thread: u32) {
  for (var n = 0u; n < 8u; n++) {
    lines[n * COLUMNS + thread] = total[n];
  }
}

#if HAS_PAIRS || DELTA
/// Adds the transpose of a lower triangular matrix (READERS: of the inverse) times what `lines` hold to the half's tokens: of
/// tokens at or after each.
fn add_matrix_by_lines(place: Place, which: u32, half: u32) {
  workgroupBarrier();
  for (var n = place.thread; n < LENGTH * 4u; n += COLUMNS) {
    var quad: vec4<f32>;
    for (var c = 0u; c < 4u; c++) {
      let e = n / 4u * LENGTH + half * 16u + n % 4u * 4u + c;
#if DELTA
      if (which == READERS) {
        quad[c] = inverse_load((place.chunk * uniforms.heads + place.h) * LENGTH * LENGTH + e);
      }
#endif
#if HAS_PAIRS
      if (which < READERS) {
        quad[c] = pairs_load((place.chunk * uniforms.outputs + place.h * READERS + which) * LENGTH * LENGTH + e);
      }
#endif
    }
    slab[n / 4u * STRIDE + n % 4u] = quad;
  }
  workgroupBarrier();
  var sum = Half();
  for (var i = 16u * half; i < LENGTH; i++) {
    let x = of_line(place, i);
#for n in 0..4
    sum[$n] += slab[i * STRIDE + $n] * x;
#endfor
  }
#for n in 0..4
  total[half * 4u + $n] += sum[$n];
#endfor
}
#endif

#if HAS_DY
/// `lines` become scale dy of the chunk's tokens.
fn upstream_into_lines(place: Place, reader: u32) {
  let tokens = live_tokens(place);
  for (var n = 0u; n < 8u; n++) {
    var quad = vec4<f32>(0.0);
    for (var i = 0u; i < min(4u, max(tokens, n * 4u) - n * 4u); i++) {
      let row = output_row(place.b, place.first + n * 4u + i, place.h * READERS + reader);
      quad[i] = uniforms.scale * dy_load(row * uniforms.values + place.column);
    }
    lines[n * COLUMNS + place.thread] = quad;
  }
}
#endif

@compute @workgroup_size(COLUMNS)
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let group = id.x + id.y * groups.x;
  if (group >= uniforms.groups) {
    return;
  }
  var place = place_of(group, 1u, thread);
  let live = place.column < uniforms.values;
  for (var key = 0u; key < uniforms.keys; key++) {
    state[key] = 0.0;
#if HAS_DFINAL
    if (live) {
      state[key] = dfinal_load(state_at(place.b, place) + key * uniforms.values);
    }
#endif
  }
  for (var back = 0u; back < uniforms.chunks; back++) {
    enter_chunk(&place, uniforms.chunks - 1u - back);
    let tokens = live_tokens(place);
#if HAS_ENDS
    if (live) {
      for (var key = 0u; key < uniforms.keys; key++) {
        ends_store(state_at(place.chunk, place) + key * uniforms.values, state[key]);
      }
    }
#endif
    // What tokens after the chunk read of it, then what is read inside, from each reader's dO in `lines`.
    for (var half = 0u; half < 2u; half++) {
      var sum = Half();
      add_rows_by_state(place, KEYS_WRITING, half, &sum);
#for n in 0..4
      total[half * 4u + $n] = sum[$n];
#endfor
    }
#if HAS_DY || DELTA
    for (var which = FIRST; which < READERS + DELTA; which++) {
#if DELTA
      if (which == READERS) {
        total_into_lines(thread);
        for (var n = 0u; n < 8u; n++) {
          total[n] = vec4<f32>(0.0);
        }
      }
#endif
#if HAS_DY
      if (which < READERS) {
        upstream_into_lines(place, which);
      }
#endif
      for (var half = 0u; half < 2u; half++) {
        add_matrix_by_lines(place, which, half);
      }
    }
#endif
    total_into_lines(thread);
#if DELTA
    // The errors' products with it, summed over the columns by a thread per token.
    for (var n = 0u; n < 8u; n++) {
      var quad = vec4<f32>(0.0);
      for (var i = 0u; i < min(4u, max(tokens, n * 4u) - n * 4u); i++) {
        quad[i] = errors_load(value_at(place, n * 4u + i));
      }
      lines[n * COLUMNS + thread] *= quad;
    }
    workgroupBarrier();
    for (var t = thread; t < place.end - place.first; t += COLUMNS) {
      var sum = 0.0;
      for (var column = 0u; column < COLUMNS; column++) {
        // Each thread begins at another column, so that they don't queue for one bank.
        sum += lines[t / 4u * COLUMNS + (column + t) % COLUMNS][t % 4u];
      }
      dbetas_store(group % uniforms.blocks * uniforms.rows + head_row(place.b, place.first + t, place.h), sum);
    }
    workgroupBarrier();
    total_into_lines(thread);
    for (var t = 0u; t < LENGTH; t += 4u) {
      lines[t / 4u * COLUMNS + thread] *= betas_of(place, t);
    }
#endif
    for (var t = 0u; t < tokens; t++) {
      dv_store(value_at(place, t), of_line(place, t));
    }
    // The gradient of the state before the chunk; the delta rules' own reading first, as `lines` hold dv.
#if HAS_DY || DELTA
    for (var n = 0u; n < READERS + DELTA - FIRST; n++) {
#if DELTA
      let which = select(n - 1u, KEYS_READING, n == 0u);
#else
      let which = n;
#endif
#if HAS_DY
      if (which < READERS) {
        upstream_into_lines(place, which);
      }
#endif
      add_to_state(place, which, select(1.0, -1.0, which == KEYS_READING), n == 0u);
    }
#elif DECAY
    for (var key = 0u; key < uniforms.keys; key++) {
      state[key] *= grow_of(place, place.end - 1u, key);
    }
#endif
  }
#if HAS_DS0
  if (live) {
    for (var key = 0u; key < uniforms.keys; key++) {
      ds0_store(state_at(place.b, place) + key * uniforms.values, state[key]);
    }
  }
#endif
}
