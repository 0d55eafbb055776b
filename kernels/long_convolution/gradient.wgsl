// long_convolution_gradient of up to N tokens: u, dy [rows,T,D], taps [D,T] -> du [rows,T,D], dtaps [parts,D,T]. With dy backwards in time
// both are convolutions, du with the taps, dtaps with u summed over rows: a row costs the transforms of dy, of u and of du. Workgroups are those
// of convolve.wgsl; each adds the spectra of its rows in order, and transforms the sum back once.
#include "long_convolution/fourier.wgsl"

fn within(m: u32, channel: u32) -> bool {
  return m < uniforms.tokens && channel < CHANNELS;
}

fn load_dy(row: u32, m: u32, channel: u32) -> f32 {
  var value = 0.0;
  if (within(m, channel)) {
    value = dy_load(uniforms.before + (row * uniforms.tokens + uniforms.tokens - 1u - m) * CHANNELS + channel);
  }
  return value;
}

#if HAS_U
fn load_u(row: u32, m: u32, channel: u32) -> f32 {
  var value = 0.0;
  if (within(m, channel)) {
    value = u_load(uniforms.before + (row * uniforms.tokens + m) * CHANNELS + channel);
  }
  return value;
}

fn store_dtaps(part: u32, m: u32, channel: u32, value: f32) {
  if (within(m, channel)) {
    dtaps_store((part * CHANNELS + channel) * uniforms.tokens + uniforms.tokens - 1u - m, value);
  }
}
#endif

#if HAS_DU
fn load_taps(m: u32, channel: u32) -> f32 {
  var value = 0.0;
  if (within(m, channel)) {
    value = taps_load(channel * uniforms.tokens + m);
  }
  return value;
}

fn store_du(row: u32, m: u32, channel: u32, value: f32) {
  if (within(m, channel)) {
    du_store(uniforms.before + (row * uniforms.tokens + uniforms.tokens - 1u - m) * CHANNELS + channel, value);
  }
}
#endif

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let group = id.x + id.y * groups.x;
  let sequence = local % SEQUENCES;
  let t = local / SEQUENCES;
  let channel = group % CHANNEL_GROUPS * SEQUENCES + sequence;
  let part = group / CHANNEL_GROUPS;
  let first = part * uniforms.rows_each;
  let end = min(uniforms.rows, first + uniforms.rows_each);
  let scale = 1.0 / f32(N);
  fill_roots(local);
  let weight = weights_of(t);
#if HAS_DU
  let response = transform(sequence, t, Four(
    load_taps(t, channel) * weight.a,
    load_taps(t + QUARTER, channel) * weight.b,
    load_taps(t + 2u * QUARTER, channel) * weight.c,
    load_taps(t + 3u * QUARTER, channel) * weight.d,
  ));
#endif
  var total = Four(vec2f(0.0), vec2f(0.0), vec2f(0.0), vec2f(0.0));
  for (var row = first; row < end; row++) {
    let upstream = transform(sequence, t, Four(
      load_dy(row, t, channel) * weight.a,
      load_dy(row, t + QUARTER, channel) * weight.b,
      load_dy(row, t + 2u * QUARTER, channel) * weight.c,
      load_dy(row, t + 3u * QUARTER, channel) * weight.d,
    ));
#if HAS_U
    let source = transform(sequence, t, Four(
      load_u(row, t, channel) * weight.a,
      load_u(row, t + QUARTER, channel) * weight.b,
      load_u(row, t + 2u * QUARTER, channel) * weight.c,
      load_u(row, t + 3u * QUARTER, channel) * weight.d,
    ));
    total = sum(total, products(upstream, source));
#endif
#if HAS_DU
    let du = inverse_transform(sequence, t, products(upstream, response));
    store_du(row, t, channel, dot(du.a, weight.a) * scale);
    store_du(row, t + QUARTER, channel, dot(du.b, weight.b) * scale);
    store_du(row, t + 2u * QUARTER, channel, dot(du.c, weight.c) * scale);
    store_du(row, t + 3u * QUARTER, channel, dot(du.d, weight.d) * scale);
#endif
  }
#if HAS_U
  let taps = inverse_transform(sequence, t, total);
  if (first < end) {
    store_dtaps(uniforms.first_part + part, t, channel, dot(taps.a, weight.a) * scale);
    store_dtaps(uniforms.first_part + part, t + QUARTER, channel, dot(taps.b, weight.b) * scale);
    store_dtaps(uniforms.first_part + part, t + 2u * QUARTER, channel, dot(taps.c, weight.c) * scale);
    store_dtaps(uniforms.first_part + part, t + 3u * QUARTER, channel, dot(taps.d, weight.d) * scale);
  }
#endif
}
