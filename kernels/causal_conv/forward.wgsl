// causal_conv: y [B,T,C] from x [B,T,C], w [C,TAPS], bias [C] and the window past [B,TAPS-1,C]; present is the next window and may
// be past. A thread takes WIDTH channels and `run` tokens, the window in registers. The thread of a row's first tokens, the only one that
// reads past, writes present; `before` tokens of x lie before the first.
#include "causal_conv/window.wgsl"

fn store_y(batch: u32, t: u32, c: u32, value: V) {
  let at = uniforms.y_at / WIDTH + (batch * uniforms.time + t) * VECTORS + c;
#if WIDTH == 4
  y_store4(at, value);
#else
  y_store(at, value);
#endif
}

#if HAS_PRESENT
fn store_present(batch: u32, row: u32, c: u32, value: V) {
  let at = uniforms.present_at / WIDTH + (batch * (TAPS - 1u) + row) * VECTORS + c;
#if WIDTH == 4
  present_store4(at, value);
#else
  present_store(at, value);
#endif
}
#endif

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= uniforms.count) {
    return;
  }
  let c = i % VECTORS;
  let run = i / VECTORS % uniforms.runs;
  let batch = i / VECTORS / uniforms.runs;
  let begin = run * uniforms.run;
  let end = min(begin + uniforms.run, uniforms.time);
  var w: array<V, TAPS>;
  // Tokens t - TAPS + 1 … t.
  var rows: array<V, TAPS>;
#for k in 0..TAPS
  w[$k] = weight(c, $k);
#endfor
#for k in 0..TAPS - 1
  rows[$k] = joined(batch, begin + $k, c);
#endfor
#if HAS_BIAS
  let bias = load_bias(c);
#endif
  for (var t = begin; t < end; t++) {
    rows[TAPS - 1] = load_x(batch, t, c);
#if HAS_BIAS
    var sum = bias;
#else
    var sum = V(0.0);
#endif
#for k in 0..TAPS
    sum += w[$k] * rows[$k];
#endfor
#for k in 1..TAPS
    rows[$k - 1] = rows[$k];
#endfor
#if SILU
    store_y(batch, t, c, silu(sum));
#else
    store_y(batch, t, c, sum);
#endif
  }
#if HAS_PRESENT
  if (run == 0u) {
    // In ascending order: where present is past, a row is read before it is overwritten.
#for k in 0..TAPS - 1
    store_present(batch, $k, c, joined(batch, uniforms.time + $k, c));
#endfor
  }
#endif
}
