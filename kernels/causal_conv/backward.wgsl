// Gradient of causal_conv: dx [B,T,C] and dpast [B,TAPS-1,C], and partial sums of dw and d bias, [parts,TAPS+1,C]. A thread takes WIDTH
// channels and `run` tokens: it walks them and TAPS - 1 more, the tokens and what reaches their sums, g = dy · activation', in registers.
// `known` tokens of x and dy are there, of which the first `time` are this dispatch's; dpresent belongs to those from `window` on.
#include "causal_conv/window.wgsl"

#if HAS_DY
fn load_dy(batch: u32, t: u32, c: u32) -> V {
  let at = uniforms.dy_at / WIDTH + (batch * uniforms.known + t) * VECTORS + c;
#if WIDTH == 4
  return dy_load4(at);
#else
  return dy_load(at);
#endif
}
#endif

/// Gradient of row j of the window and x joined along time.
fn store_row(batch: u32, j: u32, c: u32, sum: V) {
  var value = sum;
#if HAS_DPRESENT
  if (j >= uniforms.window) {
    let place = uniforms.dpresent_at / WIDTH + (batch * (TAPS - 1u) + j - uniforms.window) * VECTORS + c;
#if WIDTH == 4
    value += dpresent_load4(place);
#else
    value += dpresent_load(place);
#endif
  }
#endif
  if (j + 1u >= TAPS) {
#if HAS_DX
    let at = uniforms.dx_at / WIDTH + (batch * uniforms.time + j - (TAPS - 1u)) * VECTORS + c;
#if WIDTH == 4
    dx_store4(at, value);
#else
    dx_store(at, value);
#endif
#endif
  } else {
#if HAS_DPAST
    let at = uniforms.dpast_at / WIDTH + (batch * (TAPS - 1u) + j) * VECTORS + c;
#if WIDTH == 4
    dpast_store4(at, value);
#else
    dpast_store(at, value);
#endif
#endif
  }
}

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
  // The first run's also are the rows of the window.
  let first_row = select(begin + TAPS - 1u, 0u, run == 0u);
  var w: array<V, TAPS>;
  // Tokens t - TAPS + 1 … t, and g of the same.
  var rows: array<V, TAPS>;
  var g: array<V, TAPS>;
  var dw: array<V, TAPS>;
  var dbias = V(0.0);
#for k in 0..TAPS
  w[$k] = weight(c, $k);
#endfor
#for k in 0..TAPS - 1
  rows[$k] = joined(batch, begin + $k, c);
#endfor
#if HAS_BIAS
  let bias = load_bias(c);
#else
  let bias = V(0.0);
#endif
  for (var t = begin; t < end + TAPS - 1u; t++) {
    var reached = V(0.0);
#for k in 1..TAPS
    g[$k - 1] = g[$k];
#endfor
#if HAS_DY
    if (t < uniforms.known) {
      rows[TAPS - 1] = load_x(batch, t, c);
      reached = load_dy(batch, t, c);
#if SILU
      var sum = bias;
#for k in 0..TAPS
      sum += w[$k] * rows[$k];
#endfor
      let s = sigmoid(sum);
      reached *= s * (V(1.0) + sum * (V(1.0) - s));
#endif
      if (t < end) {
        dbias += reached;
#for k in 0..TAPS
        dw[$k] += reached * rows[$k];
#endfor
      }
#for k in 1..TAPS
      rows[$k - 1] = rows[$k];
#endfor
    }
#endif
    g[TAPS - 1] = reached;
    if (t >= first_row) {
      // Row t of both: w[k] met it in the sum of token t - k.
      var sum = V(0.0);
#for k in 0..TAPS
      sum += w[$k] * g[TAPS - 1 - $k];
#endfor
      store_row(batch, t, c, sum);
    }
  }
#if HAS_PARTS
  let part = (batch * uniforms.runs + run) * (TAPS + 1u);
#for k in 0..TAPS
  store_part((part + $k) * VECTORS + c, dw[$k]);
#endfor
  store_part((part + TAPS) * VECTORS + c, dbias);
#endif
}

#if HAS_PARTS
fn store_part(at: u32, value: V) {
#if WIDTH == 4
  parts_store4(at, value);
#else
  parts_store(at, value);
#endif
}
#endif
