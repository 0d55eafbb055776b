// linear_attention token by token: y [B,T,outputs,values], final state [B,heads,keys,values], states every 64 tokens.
// A workgroup holds COLUMNS * WIDTH columns of one head's state in registers, LANES threads per column with 4 GROUPS keys each;
// q, k and gates of TOKENS tokens are staged in workgroup memory. Lanes add up by quad operations (QUAD) or through it.
#include "linear_attention/heads.wgsl"
#if WIDTH == 4
alias V = vec4<f32>;
#else
alias V = f32;
#endif

const WORKGROUP = COLUMNS * LANES;
// What the lanes of a column add up: a read per output and, for the delta rules, what the state holds for the key.
const SUMS = READERS + DELTA;
// Rows staged per token: queries, then the key, then what decays leave of keys; each of QUADS quads of keys.
const STAGED_ROWS = READERS + 1u + DECAY / 2u;
const QUADS = GROUPS * LANES;

#if STAGED
var<workgroup> staged: array<vec4<f32>, TOKENS * STAGED_ROWS * QUADS>;
#endif
var<workgroup> gates: array<vec2<f32>, TOKENS>;
#if LANES > 1 && QUAD == 0
var<workgroup> sums: array<V, TOKENS * SUMS * LANES * COLUMNS>;
#if DELTA
var<workgroup> products: array<f32, TOKENS * READERS * LANES>;
#endif
#endif
/// Key 4 g + c of a lane is 4 (g LANES + lane) + c of the head. The functions of a group are called with constants (UNROLLED), so
/// that elements are registers: loops that index an array leave it in memory.
var<private> s: array<V, 4 * GROUPS>;
var<private> sum: array<V, SUMS>;
#if DELTA
var<private> product: array<f32, READERS>;
#endif

struct Head { b: u32, h: u32 }

/// Element i of query `row` (READERS: of the key, READERS + 1: of what decays leave) of token t.
fn element(head: Head, row: u32, t: u32, i: u32) -> f32 {
  if (row < READERS) {
    return q_load(query_row(head.b, t, head.h * READERS + row) * uniforms.keys + i);
  }
#if DECAY == 2
  if (row > READERS) {
    return exp(decay_load(head.b * uniforms.decay_batch + t * uniforms.decay_time + head.h * uniforms.keys + i));
  }
#endif
  return k_load(key_row(head.b, t, head.h) * uniforms.keys + i);
}

/// Four of them; beyond the keys nothing is read or written, and all of it stays.
fn quad_of(head: Head, row: u32, t: u32, quad: u32) -> vec4<f32> {
  var x = vec4<f32>(select(0.0, 1.0, row > READERS));
  for (var c = 0u; c < min(4u, max(quad * 4u, uniforms.keys) - quad * 4u); c++) {
    x[c] = element(head, row, t, quad * 4u + c);
  }
  return x;
}

fn row_at(head: Head, row: u32, t: u32, n: u32, quad: u32) -> vec4<f32> {
#if STAGED
  return staged[(n * STAGED_ROWS + row) * QUADS + quad];
#else
  return quad_of(head, row, t, quad);
#endif
}

#if QUAD
/// Sum over the four threads of a quad, which are the lanes of a column.
fn quad_sum(x: V) -> V {
  let pair = x + quadSwapX(x);
  return pair + quadSwapY(pair);
}
fn quad_sum_scalar(x: f32) -> f32 {
  let pair = x + quadSwapX(x);
  return pair + quadSwapY(pair);
}
#endif

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
  let head = Head(group / uniforms.blocks / uniforms.heads, group / uniforms.blocks % uniforms.heads);
#if QUAD
  let lane = thread % LANES;
  let place = thread / LANES;
#else
  let lane = thread / COLUMNS;
  let place = thread % COLUMNS;
#endif
  let column = (group % uniforms.blocks * COLUMNS + place) * WIDTH;
  let live = column < uniforms.values;
  let state_at = (head.b * uniforms.heads + head.h) * uniforms.keys * uniforms.values + column;
#if UNROLLED
#for g in 0..GROUPS
      load_state($g, lane, state_at, live);
#endfor
#else
      for (var g = 0u; g < GROUPS; g++) {
        load_state(g, lane, state_at, live);
      }
#endif

  for (var first = 0u; first < uniforms.time; first += TOKENS) {
#if HAS_STARTS
    if (first % 64u == 0u && live) {
      let starts_at = ((head.b * uniforms.chunks + first / 64u) * uniforms.heads + head.h) * uniforms.keys * uniforms.values + column;
#if UNROLLED
#for g in 0..GROUPS
      store_start($g, lane, starts_at);
#endfor
#else
      for (var g = 0u; g < GROUPS; g++) {
        store_start(g, lane, starts_at);
      }
#endif
    }
#endif
    let tokens = min(TOKENS, uniforms.time - first);
    workgroupBarrier();
#if STAGED
    for (var e = thread; e < tokens * STAGED_ROWS * QUADS; e += WORKGROUP) {
      let row = e / QUADS;
      staged[e] = quad_of(head, row % STAGED_ROWS, first + row / STAGED_ROWS, e % QUADS);
    }
#endif
    for (var n = thread; n < tokens; n += WORKGROUP) {
      var gate = vec2<f32>(1.0, 1.0);
#if DECAY == 1
      gate.x = exp(decay_load(head.b * uniforms.decay_batch + (first + n) * uniforms.decay_time + head.h));
#endif
#if DELTA
      gate.y = beta_load(head_row(head.b, first + n, head.h));
#endif
      gates[n] = gate;
    }
    workgroupBarrier();

    for (var n = 0u; n < tokens; n++) {
      let t = first + n;
      let gate = gates[n];
      var value = V(0.0);
      if (live) {
#if WIDTH == 4
        value = v_load4((head_row(head.b, t, head.h) * uniforms.values + column) / 4u);
#else
        value = v_load(head_row(head.b, t, head.h) * uniforms.values + column);
#endif
      }
#for o in 0..READERS + DELTA
      sum[$o] = V(0.0);
#endfor
#if DELTA
#for o in 0..READERS
      product[$o] = 0.0;
#endfor
#endif
#if UNROLLED
#for g in 0..GROUPS
      meet(head, $g, lane, t, n, gate.x, value);
#endfor
#else
      for (var g = 0u; g < GROUPS; g++) {
        meet(head, g, lane, t, n, gate.x, value);
      }
#endif
#if QUAD
#for o in 0..READERS + DELTA
      sum[$o] = quad_sum(sum[$o]);
#endfor
#if DELTA
#for o in 0..READERS
      product[$o] = quad_sum_scalar(product[$o]);
#endfor
#endif
#elif LANES > 1
#for o in 0..READERS + DELTA
      sums[((n * SUMS + $o) * LANES + lane) * COLUMNS + place] = sum[$o];
#endfor
#if DELTA
#for o in 0..READERS
      if (place == 0u) {
        products[(n * READERS + $o) * LANES + lane] = product[$o];
      }
#endfor
      workgroupBarrier();
      sum[READERS] = column_sum(n, READERS, place);
#endif
#endif
#if DELTA
      let write = gate.y * (value - sum[READERS]);
#if UNROLLED
#for g in 0..GROUPS
      correct(head, $g, lane, t, n, write);
#endfor
#else
      for (var g = 0u; g < GROUPS; g++) {
        correct(head, g, lane, t, n, write);
      }
#endif
#endif
#if LANES == 1 || QUAD
      // The lanes take turns with the outputs.
#for o in 0..READERS
      if (lane == (n + $o) % LANES) {
#if DELTA
        store_output(head, t, $o, column, live, sum[$o] + product[$o] * write);
#else
        store_output(head, t, $o, column, live, sum[$o]);
#endif
      }
#endfor
#elif DELTA
#for o in 0..READERS
      if (lane == (n + $o) % LANES) {
        var product_$o = 0.0;
        for (var l = 0u; l < LANES; l++) {
          product_$o += products[(n * READERS + $o) * LANES + l];
        }
        store_output(head, t, $o, column, live, column_sum(n, $o, place) + product_$o * write);
      }
#endfor
#endif
    }
#if LANES > 1 && DELTA == 0 && QUAD == 0
    workgroupBarrier();
    for (var e = lane; e < tokens * READERS; e += LANES) {
      store_output(head, first + e / READERS, e % READERS, column, live, column_sum(e / READERS, e % READERS, place));
    }
#endif
  }
#if HAS_FINAL
  if (live) {
#if UNROLLED
#for g in 0..GROUPS
      store_final($g, lane, state_at);
#endfor
#else
      for (var g = 0u; g < GROUPS; g++) {
        store_final(g, lane, state_at);
      }
#endif
  }
#endif
}

/// First key of a lane's quad g.
fn key_of(g: u32, lane: u32) -> u32 {
  return (g * LANES + lane) * 4u;
}

#if LANES > 1 && QUAD == 0
fn column_sum(n: u32, which: u32, place: u32) -> V {
  var total = V(0.0);
  for (var l = 0u; l < LANES; l++) {
    total += sums[((n * SUMS + which) * LANES + l) * COLUMNS + place];
  }
  return total;
}
#endif

fn store_output(head: Head, t: u32, reader: u32, column: u32, live: bool, sum: V) {
#if HAS_Y
  if (live) {
    let at = output_row(head.b, t, head.h * READERS + reader) * uniforms.values + column;
#if WIDTH == 4
    y_store4(at / 4u, uniforms.scale * sum);
#else
    y_store(at, uniforms.scale * sum);
#endif
  }
#endif
}

fn load_state(g: u32, lane: u32, state_at: u32, live: bool) {
#for c in 0..4
  s[g * 4u + $c] = V(0.0);
#if HAS_S0
  if (live && (WHOLE || key_of(g, lane) + $c < uniforms.keys)) {
#if WIDTH == 4
    s[g * 4u + $c] = s0_load4((state_at + (key_of(g, lane) + $c) * uniforms.values) / 4u);
#else
    s[g * 4u + $c] = s0_load(state_at + (key_of(g, lane) + $c) * uniforms.values);
#endif
  }
#endif
#endfor
}

#if HAS_STARTS
fn store_start(g: u32, lane: u32, starts_at: u32) {
#for c in 0..4
  if (WHOLE || key_of(g, lane) + $c < uniforms.keys) {
#if WIDTH == 4
    starts_store4((starts_at + (key_of(g, lane) + $c) * uniforms.values) / 4u, s[g * 4u + $c]);
#else
    starts_store(starts_at + (key_of(g, lane) + $c) * uniforms.values, s[g * 4u + $c]);
#endif
  }
#endfor
}
#endif

#if HAS_FINAL
fn store_final(g: u32, lane: u32, state_at: u32) {
#for c in 0..4
  if (WHOLE || key_of(g, lane) + $c < uniforms.keys) {
#if WIDTH == 4
    final_store4((state_at + (key_of(g, lane) + $c) * uniforms.values) / 4u, s[g * 4u + $c]);
#else
    final_store(state_at + (key_of(g, lane) + $c) * uniforms.values, s[g * 4u + $c]);
#endif
  }
#endfor
}
#endif

/// Lets the group's state decay and adds what it holds for the queries (linear rules: after writing) and the key.
fn meet(head: Head, g: u32, lane: u32, t: u32, n: u32, kept_of_head: f32, value: V) {
  let quad = g * LANES + lane;
  let key = row_at(head, READERS, t, n, quad);
#if DECAY == 2
  let kept = row_at(head, READERS + 1u, t, n, quad);
#endif
#for c in 0..4
#if DECAY == 2
  s[g * 4u + $c] *= kept[$c];
#elif DECAY == 1
  s[g * 4u + $c] *= kept_of_head;
#endif
#if DELTA
  sum[READERS] += key[$c] * s[g * 4u + $c];
#else
  s[g * 4u + $c] += key[$c] * value;
#endif
#endfor
#for o in 0..READERS
  {
    let query = row_at(head, $o, t, n, quad);
#for c in 0..4
    sum[$o] += query[$c] * s[g * 4u + $c];
#endfor
#if DELTA
    product[$o] += dot(query, key);
#endif
  }
#endfor
}

#if DELTA
/// Writes at the group's keys.
fn correct(head: Head, g: u32, lane: u32, t: u32, n: u32, write: V) {
  let key = row_at(head, READERS, t, n, g * LANES + lane);
#for c in 0..4
  s[g * 4u + $c] += key[$c] * write;
#endfor
}
#endif
