// linear_attention token by token: y [B,T,OUTPUTS,VALUES], final state [B,HEADS,KEYS,VALUES], states every 64 tokens.
// A workgroup holds COLUMNS * WIDTH columns of one head's state in registers, LANES threads per column with ROWS keys each;
// q, k and gates of TOKENS tokens are staged in workgroup memory. The delta rules need one barrier per token.
#include "linear_attention/heads.wgsl"
#if WIDTH == 4
alias V = vec4<f32>;
#else
alias V = f32;
#endif

const WORKGROUP = COLUMNS * LANES;
// What the lanes of a column add up: a read per output and, for the delta rules, what the state holds for the key.
const SUMS = READERS + DELTA;
const BLOCKS = (VALUES + COLUMNS * WIDTH - 1u) / (COLUMNS * WIDTH);
// Rows staged per token: queries, then the key, then decays of keys.
const STAGED_ROWS = READERS + 1u + DECAY / 2u;

#if STAGED
var<workgroup> staged: array<f32, TOKENS * STAGED_ROWS * KEYS>;
#endif
var<workgroup> gates: array<vec2<f32>, TOKENS>;
#if LANES > 1
var<workgroup> sums: array<V, TOKENS * SUMS * LANES * COLUMNS>;
#if DELTA
var<workgroup> products: array<f32, TOKENS * READERS * LANES>;
#endif
#endif

struct Head { b: u32, h: u32 }

#if DECAY
fn decay_of(head: Head, t: u32, i: u32) -> f32 {
#if DECAY == 2
  return exp(decay_load(head.b * uniforms.decay_batch + t * uniforms.decay_time + head.h * KEYS + i));
#else
  return exp(decay_load(head.b * uniforms.decay_batch + t * uniforms.decay_time + head.h));
#endif
}
#endif

/// Element i of query `reader` (READERS: of the key, READERS + 1: of the decays) of token t, the n-th of its tile.
fn row_from_memory(head: Head, row: u32, t: u32, i: u32) -> f32 {
  if (row < READERS) {
    return q_load(query_row(head.b, t, head.h * READERS + row) * KEYS + i);
  }
#if DECAY == 2
  if (row > READERS) {
    return decay_of(head, t, i);
  }
#endif
  return k_load(key_row(head.b, t, head.h) * KEYS + i);
}

fn row_at(head: Head, row: u32, t: u32, n: u32, i: u32) -> f32 {
#if STAGED
  return staged[(n * STAGED_ROWS + row) * KEYS + i];
#else
  return row_from_memory(head, row, t, i);
#endif
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
  let head = Head(group / BLOCKS / HEADS, group / BLOCKS % HEADS);
  let lane = thread / COLUMNS;
  let place = thread % COLUMNS;
  let column = (group % BLOCKS * COLUMNS + place) * WIDTH;
  let live = column < VALUES;
  let state_at = (head.b * HEADS + head.h) * KEYS * VALUES + column;
  var s = array<V, ROWS>();
#if HAS_S0
  if (live) {
#for r in 0..ROWS
#if ($r + 1) * LANES > KEYS
    if ($r * LANES + lane < KEYS)
#endif
    {
#if WIDTH == 4
      s[$r] = s0_load4((state_at + ($r * LANES + lane) * VALUES) / 4u);
#else
      s[$r] = s0_load(state_at + ($r * LANES + lane) * VALUES);
#endif
    }
#endfor
  }
#endif

  for (var first = 0u; first < uniforms.time; first += TOKENS) {
#if HAS_STARTS
    if (first % 64u == 0u && live) {
      let starts_at = ((head.b * uniforms.chunks + first / 64u) * HEADS + head.h) * KEYS * VALUES + column;
#for r in 0..ROWS
#if ($r + 1) * LANES > KEYS
      if ($r * LANES + lane < KEYS)
#endif
      {
#if WIDTH == 4
        starts_store4((starts_at + ($r * LANES + lane) * VALUES) / 4u, s[$r]);
#else
        starts_store(starts_at + ($r * LANES + lane) * VALUES, s[$r]);
#endif
      }
#endfor
    }
#endif
    let tokens = min(TOKENS, uniforms.time - first);
    workgroupBarrier();
#if STAGED
    for (var e = thread; e < tokens * STAGED_ROWS * KEYS; e += WORKGROUP) {
      let row = e / KEYS;
      staged[e] = row_from_memory(head, row % STAGED_ROWS, first + row / STAGED_ROWS, e % KEYS);
    }
#endif
    for (var n = thread; n < tokens; n += WORKGROUP) {
      var gate = vec2<f32>(1.0, 1.0);
#if DECAY == 1
      gate.x = decay_of(head, first + n, 0u);
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
        value = v_load4((head_row(head.b, t, head.h) * VALUES + column) / 4u);
#else
        value = v_load(head_row(head.b, t, head.h) * VALUES + column);
#endif
      }
      var sum = array<V, SUMS>();
#if DELTA
      var product = array<f32, READERS>();
#endif
#for r in 0..ROWS
#if ($r + 1) * LANES > KEYS
      if ($r * LANES + lane < KEYS)
#endif
      {
        let i = $r * LANES + lane;
        let key = row_at(head, READERS, t, n, i);
#if DECAY == 2
        s[$r] *= row_at(head, READERS + 1u, t, n, i);
#elif DECAY == 1
        s[$r] *= gate.x;
#endif
#if DELTA
        sum[READERS] += key * s[$r];
#else
        s[$r] += key * value;
#endif
#for o in 0..READERS
        let query_$o = row_at(head, $o, t, n, i);
        sum[$o] += query_$o * s[$r];
#if DELTA
        product[$o] += query_$o * key;
#endif
#endfor
      }
#endfor
#if LANES > 1
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
      let write = gate.y * (value - column_sum(n, READERS, place));
#endif
#else
#if DELTA
      let write = gate.y * (value - sum[READERS]);
#endif
#endif
#if DELTA
#for r in 0..ROWS
#if ($r + 1) * LANES > KEYS
      if ($r * LANES + lane < KEYS)
#endif
      {
        s[$r] += row_at(head, READERS, t, n, $r * LANES + lane) * write;
      }
#endfor
      // The lanes take turns with the outputs.
#for o in 0..READERS
#if LANES > 1
      if (lane == (n + $o) % LANES) {
        var product_$o = 0.0;
        for (var l = 0u; l < LANES; l++) {
          product_$o += products[(n * READERS + $o) * LANES + l];
        }
        store_output(head, t, $o, column, live, column_sum(n, $o, place) + product_$o * write);
      }
#else
      store_output(head, t, $o, column, live, sum[$o] + product[$o] * write);
#endif
#endfor
#elif LANES == 1
#for o in 0..READERS
      store_output(head, t, $o, column, live, sum[$o]);
#endfor
#endif
    }
#if LANES > 1 && DELTA == 0
    workgroupBarrier();
    for (var e = lane; e < tokens * READERS; e += LANES) {
      store_output(head, first + e / READERS, e % READERS, column, live, column_sum(e / READERS, e % READERS, place));
    }
#endif
  }
#if HAS_FINAL
  if (live) {
#for r in 0..ROWS
#if ($r + 1) * LANES > KEYS
    if ($r * LANES + lane < KEYS)
#endif
    {
#if WIDTH == 4
      final_store4((state_at + ($r * LANES + lane) * VALUES) / 4u, s[$r]);
#else
      final_store(state_at + ($r * LANES + lane) * VALUES, s[$r]);
#endif
    }
#endfor
  }
#endif
}

#if LANES > 1
fn column_sum(n: u32, which: u32, place: u32) -> V {
  var total = V(0.0);
  for (var l = 0u; l < LANES; l++) {
    total += sums[((n * SUMS + which) * LANES + l) * COLUMNS + place];
  }
  return total;
}
#endif

fn store_output(head: Head, t: u32, reader: u32, column: u32, live: bool, sum: V) {
  if (live) {
    let at = output_row(head.b, t, head.h * READERS + reader) * VALUES + column;
#if WIDTH == 4
    y_store4(at / 4u, SCALE * sum);
#else
    y_store(at, SCALE * sum);
#endif
  }
}
