// y[block i] = the transform back of Σ_{j ≤ i} left[j] · right[i - j], from spectra [rows, channels of this run, blocks, N] (spectra.wgsl).
// SUM: also over rows, and y is dtaps [D,T]; otherwise right has one row and y is [rows,T,D]. A workgroup per row, channel and block, those with
// the longest sums first; a thread multiplies four points and keeps their sums in registers.
#include "long_convolution/fourier.wgsl"
#include "long_convolution/sequences.wgsl"

fn store_y(row: u32, m: u32, channel: u32, value: f32) {
  if (m < uniforms.tokens) {
#if SUM
    y_store(uniforms.before + channel * uniforms.tokens + token_of(m), value);
#else
    y_store(element_of(row, m, uniforms.first_channel + channel), value);
#endif
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let group = id.x + id.y * groups.x;
  let channel = group % uniforms.channels;
  let rest = group / uniforms.channels;
  let row = rest % uniforms.rows;
  let block = uniforms.blocks - 1u - min(rest / uniforms.rows, uniforms.blocks - 1u);
  fill_roots(t);
  let weight = weights_of(t);
  var total = Four(vec2f(0.0), vec2f(0.0), vec2f(0.0), vec2f(0.0));
#if SUM
  for (var each = 0u; each < uniforms.summed_rows; each++) {
    let left_row = each;
    let right_row = each;
#else
  {
    let left_row = uniforms.first_row + row;
    let right_row = 0u;
#endif
    let left_at = (left_row * uniforms.channels + channel) * uniforms.blocks * (N / 2u) + 2u * t;
    let right_at = (right_row * uniforms.channels + channel) * uniforms.blocks * (N / 2u) + 2u * t;
    for (var j = 0u; j <= block; j++) {
      let a = left_load4(left_at + j * (N / 2u));
      let b = left_load4(left_at + j * (N / 2u) + 1u);
      let c = right_load4(right_at + (block - j) * (N / 2u));
      let d = right_load4(right_at + (block - j) * (N / 2u) + 1u);
      total = sum(total, products(Four(a.xy, a.zw, b.xy, b.zw), Four(c.xy, c.zw, d.xy, d.zw)));
    }
  }
  let y = inverse_transform(0u, t, total);
  if (rest < uniforms.rows * uniforms.blocks) {
    let first = block * N + t;
    store_y(row, first, channel, dot(y.a, weight.a) * (1.0 / f32(N)));
    store_y(row, first + QUARTER, channel, dot(y.b, weight.b) * (1.0 / f32(N)));
    store_y(row, first + 2u * QUARTER, channel, dot(y.c, weight.c) * (1.0 / f32(N)));
    store_y(row, first + 3u * QUARTER, channel, dot(y.d, weight.d) * (1.0 / f32(N)));
  }
}
