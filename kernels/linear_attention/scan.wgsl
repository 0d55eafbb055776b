// linear_attention chunk by chunk of 32 tokens (WY form; Yang et al. 2024): with S the state before the chunk,
//   u = inverse beta (v - grow k S)  (delta rules; else u = v),  y = scale (pairs u + grow q S),  S <- total S + (fade k)^T u.
// A workgroup per (b, segment of SPAN chunks or all of them, head, COLUMNS value columns), a column per thread.
#include "linear_attention/columns.wgsl"

// Phases of a chunk: what the state holds for its keys, what they write (delta rules only), what the state holds for the key at
// that token, inside the chunk too, then what each reader reads.
const HELD = 0u;
const SOLVE = 1u;
const INSIDE = 2u;
#if HAS_ERRORS
const FIRST_READER = 3u;
#else
const FIRST_READER = 2u;
#endif
#if HAS_Y
const LAST_READER = FIRST_READER + READERS;
#else
const LAST_READER = FIRST_READER;
#endif
const STEPS = 2u * (LAST_READER - select(FIRST_READER, 0u, DELTA == 1u));

/// Of a half in a phase, indexed by tokens.
var<private> sums: Half;

#if HAS_PAIRS || DELTA
/// Of the lower triangular matrix of a phase.
fn matrix_element(place: Place, phase: u32, e: u32) -> f32 {
#if HAS_KEYS
  if (phase == INSIDE) {
    return keys_load((place.chunk * uniforms.heads + place.h) * LENGTH * LENGTH + e);
  }
#endif
#if HAS_PAIRS
  if (phase >= FIRST_READER) {
    let output = place.h * READERS + phase - FIRST_READER;
    return pairs_load((place.chunk * uniforms.outputs + output) * LENGTH * LENGTH + e);
  }
#endif
#if DELTA
  return inverse_load((place.chunk * uniforms.heads + place.h) * LENGTH * LENGTH + e);
#else
  return 0.0;
#endif
}

/// Adds the matrix times what `lines` hold to the half's tokens: of tokens before or at each.
fn add_matrix_by_lines(place: Place, phase: u32, half: u32, sum: ptr<function, Half>) {
  workgroupBarrier();
  for (var n = place.thread; n < LENGTH * 4u; n += COLUMNS) {
    let s = n % LENGTH;
    let t = half * 16u + n / LENGTH * 4u;
    var quad: vec4<f32>;
    for (var c = 0u; c < 4u; c++) {
      quad[c] = matrix_element(place, phase, (t + c) * LENGTH + s);
    }
    slab[s * STRIDE + n / LENGTH] = quad;
  }
  workgroupBarrier();
  for (var s = 0u; s < 16u + 16u * half; s++) {
    let x = of_line(place, s);
#for n in 0..4
    (*sum)[$n] += slab[s * STRIDE + $n] * x;
#endfor
  }
}
#endif

/// What a phase gives for token n of the chunk; `sum` is the phase's product.
fn store(place: Place, phase: u32, n: u32, sum: f32) {
#if HAS_ERRORS
  // v less what the state holds: first of before the chunk.
  if (phase == HELD) {
    errors_store(value_at(place, n), of_line(place, n));
  }
  if (phase == INSIDE) {
    writes_store(value_at(place, n), of_line(place, n));
    errors_store(value_at(place, n), errors_load(value_at(place, n)) - sum);
  }
#endif
#if HAS_Y
  if (phase >= FIRST_READER) {
    let row = output_row(place.b, place.first + n, place.h * READERS + phase - FIRST_READER);
    y_store(row * uniforms.values + place.column, uniforms.scale * sum);
  }
#endif
}

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
  let segment = group / uniforms.blocks / uniforms.heads;
  var place = place_of(group, uniforms.segments, thread);
  let live = place.column < uniforms.values;
  let c0 = segment % uniforms.segments * uniforms.span;
  let c1 = min(c0 + uniforms.span, uniforms.chunks);
  for (var key = 0u; key < uniforms.keys; key++) {
    state[key] = 0.0;
#if HAS_S0
    if (live) {
      state[key] = s0_load(state_at(segment, place) + key * uniforms.values);
    }
#endif
  }

  for (var c = c0; c < c1; c++) {
    enter_chunk(&place, c);
#if HAS_STARTS
    if (c % 2u == 0u && live) {
      let at = state_at(place.b * ((uniforms.chunks + 1u) / 2u) + c / 2u, place);
      for (var key = 0u; key < uniforms.keys; key++) {
        starts_store(at + key * uniforms.values, state[key]);
      }
    }
#endif
#if HAS_MIDDLES
    if (c % 2u == 1u && live) {
      let at = state_at(place.b * (uniforms.chunks / 2u) + c / 2u, place);
      for (var key = 0u; key < uniforms.keys; key++) {
        middles_store(at + key * uniforms.values, state[key]);
      }
    }
#endif
    // What the tokens write.
    let tokens = live_tokens(place);
    for (var n = 0u; n < 8u; n++) {
      var quad = vec4<f32>(0.0);
      for (var i = 0u; i < min(4u, max(tokens, n * 4u) - n * 4u); i++) {
        quad[i] = v_load(value_at(place, n * 4u + i));
      }
      lines[n * COLUMNS + thread] = quad;
    }
    // Two steps a phase, one for each half: compilers inline what is called, so that each product is called once.
    for (var step = 0u; step < STEPS; step++) {
#if DELTA
      let phase = step / 2u;
#else
      let phase = FIRST_READER + step / 2u;
#endif
      // SOLVE replaces the second half first, as the first is not needed for it any more.
      let half = select(step % 2u, 1u - step % 2u, phase == SOLVE);
      let reader = phase - FIRST_READER;
      var sum = Half();
      if (phase == HELD || phase >= FIRST_READER) {
        add_rows_by_state(place, select(reader, KEYS_READING, phase == HELD), half, &sum);
      }
#if HAS_PAIRS || DELTA
      if (phase != HELD) {
        add_matrix_by_lines(place, phase, half, &sum);
      }
#endif
#if DELTA
      if (phase == SOLVE) {
        into_lines(place, half, sum);
        continue;
      }
#endif
      sums = sum;
#if DELTA
      if (phase == HELD) {
        for (var n = 0u; n < 4u; n++) {
          lines[(half * 4u + n) * COLUMNS + thread] -= sums[n];
        }
      }
#endif
      for (var n = half * 16u; n < min(half * 16u + 16u, tokens); n++) {
        store(place, phase, n, sums[n / 4u % 4u][n % 4u]);
      }
#if DELTA
      if (phase == HELD) {
        for (var n = half * 4u; n < half * 4u + 4u; n++) {
          lines[n * COLUMNS + thread] *= betas_of(place, n * 4u);
        }
      }
#endif
    }
#if HAS_FINAL == 0
    // Nobody reads the last state of a segment.
    if (c + 1u == c1) {
      break;
    }
#endif
    add_to_state(place, KEYS_WRITING, 1.0, true);
  }
#if HAS_FINAL
  if (live) {
    for (var key = 0u; key < uniforms.keys; key++) {
      final_store(state_at(segment, place) + key * uniforms.values, state[key]);
    }
  }
#endif
}
