// Memory as the kernels of causal_conv see it: WIDTH neighbouring channels at a time, vector `c` of VECTORS in a row.
#if WIDTH == 4
alias V = vec4f;
#else
alias V = f32;
#endif
#include "common/math.wgsl"

const VECTORS = CHANNELS / WIDTH;

/// Place of token t, counted from the first of x.
fn x_place(batch: u32, t: u32, c: u32) -> u32 {
  return uniforms.x_at / WIDTH + (batch * uniforms.rows + uniforms.before + t) * VECTORS + c;
}

fn load_x(batch: u32, t: u32, c: u32) -> V {
#if WIDTH == 4
  return x_load4(x_place(batch, t, c));
#else
  return x_load(x_place(batch, t, c));
#endif
}

/// Tap k of the channels.
fn weight(c: u32, k: u32) -> V {
#if WIDTH == 4
  let at = 4u * c * TAPS + k;
  return vec4f(w_load(at), w_load(at + TAPS), w_load(at + 2u * TAPS), w_load(at + 3u * TAPS));
#else
  return w_load(c * TAPS + k);
#endif
}

#if HAS_BIAS
fn load_bias(c: u32) -> V {
#if WIDTH == 4
  return bias_load4(c);
#else
  return bias_load(c);
#endif
}
#endif

/// Row j of the window and x joined along time.
fn joined(batch: u32, j: u32, c: u32) -> V {
  if (j + uniforms.before >= TAPS - 1u) {
    return load_x(batch, j - (TAPS - 1u), c);
  }
#if HAS_PAST
  let at = uniforms.past_at / WIDTH + (batch * (TAPS - 1u) + j) * VECTORS + c;
#if WIDTH == 4
  return past_load4(at);
#else
  return past_load(at);
#endif
#else
  return V(0.0);
#endif
}
