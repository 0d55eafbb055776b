// Spectra of blocks of N tokens: x [rows,T,D] or, TAPS, [D,T] -> spectra [rows, channels of this run, blocks, N] complex. A workgroup
// per row, block and channel, channels innermost: neighbours share the sectors that they read.
// WINDOW: of x[block] - i x[block - 1], so that a product with it gives both what a block adds to its own and to the next block of y.
#include "long_convolution/fourier.wgsl"
#include "long_convolution/sequences.wgsl"

fn load_x(row: u32, m: u32, channel: u32) -> f32 {
  var value = 0.0;
  if (m < uniforms.tokens) {
#if TAPS
    value = x_load(uniforms.before + channel * uniforms.tokens + m);
#else
    value = x_load(element_of(row, m, uniforms.first_channel + channel));
#endif
  }
  return value;
}

fn point(row: u32, block: u32, i: u32, channel: u32, weight: vec2f) -> vec2f {
  let own = load_x(row, block * N + i, channel);
#if WINDOW
  var before = 0.0;
  if (block > 0u) {
    before = load_x(row, (block - 1u) * N + i, channel);
  }
  return product(vec2f(own, -before), weight);
#else
  return own * weight;
#endif
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let group = id.x + id.y * groups.x;
  let channel = group % uniforms.channels;
  let block = group / uniforms.channels % uniforms.blocks;
  let row = group / uniforms.channels / uniforms.blocks;
  fill_roots(t);
  let weight = weights_of(t);
  let x = transform(0u, t, Four(
    point(row, block, t, channel, weight.a),
    point(row, block, t + QUARTER, channel, weight.b),
    point(row, block, t + 2u * QUARTER, channel, weight.c),
    point(row, block, t + 3u * QUARTER, channel, weight.d),
  ));
  if (row < uniforms.rows) {
    let at = (((uniforms.first_row + row) * uniforms.channels + channel) * uniforms.blocks + block) * (N / 2u) + 2u * t;
    spectra_store4(at, vec4f(x.a, x.b));
    spectra_store4(at + 1u, vec4f(x.c, x.d));
  }
}
