// long_convolution of up to N tokens: x [rows,T,D] * taps [D,T] -> y [rows,T,D]; REVERSED, both run backwards: du from dy.
// A workgroup holds SEQUENCES neighbouring channels (a sector of every token), transforms their taps once, then takes `rows_each` rows:
// spectra stay in registers, 2 transforms per row, x and y touched once.
#include "long_convolution/fourier.wgsl"
#include "long_convolution/sequences.wgsl"

fn load_x(row: u32, m: u32, channel: u32) -> f32 {
  var value = 0.0;
  if (m < uniforms.tokens && channel < CHANNELS) {
    value = x_load(element_of(row, m, channel));
  }
  return value;
}

fn load_taps(m: u32, channel: u32) -> f32 {
  var value = 0.0;
  if (m < uniforms.tokens && channel < CHANNELS) {
    value = taps_load(channel * uniforms.tokens + m);
  }
  return value;
}

fn store_y(row: u32, m: u32, channel: u32, value: f32) {
  if (m < uniforms.tokens && channel < CHANNELS) {
    y_store(element_of(row, m, channel), value);
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let group = id.x + id.y * groups.x;
  let sequence = local % SEQUENCES;
  let t = local / SEQUENCES;
  let channel = group % CHANNEL_GROUPS * SEQUENCES + sequence;
  let first = group / CHANNEL_GROUPS * uniforms.rows_each;
  let end = min(uniforms.rows, first + uniforms.rows_each);
  fill_roots(local);
  let weight = weights_of(t);
  let response = transform(sequence, t, Four(
    load_taps(t, channel) * weight.a,
    load_taps(t + QUARTER, channel) * weight.b,
    load_taps(t + 2u * QUARTER, channel) * weight.c,
    load_taps(t + 3u * QUARTER, channel) * weight.d,
  ));
  for (var row = first; row < end; row++) {
    let spectrum = transform(sequence, t, Four(
      load_x(row, t, channel) * weight.a,
      load_x(row, t + QUARTER, channel) * weight.b,
      load_x(row, t + 2u * QUARTER, channel) * weight.c,
      load_x(row, t + 3u * QUARTER, channel) * weight.d,
    ));
    let y = inverse_transform(sequence, t, products(spectrum, response));
    store_y(row, t, channel, dot(y.a, weight.a) * (1.0 / f32(N)));
    store_y(row, t + QUARTER, channel, dot(y.b, weight.b) * (1.0 / f32(N)));
    store_y(row, t + 2u * QUARTER, channel, dot(y.c, weight.c) * (1.0 / f32(N)));
    store_y(row, t + 3u * QUARTER, channel, dot(y.d, weight.d) * (1.0 / f32(N)));
  }
}
