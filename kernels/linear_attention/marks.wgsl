// Cumulated log decays of a chunk in two parts, one of whole multiples of 1/128, whose sums are exact, and the rest: the
// difference of two is as accurate as the decays between them, however far both have run.
var<workgroup> marks: array<vec2<f32>, LENGTH>;

/// Called by thread `n` < LENGTH for token first + n of the chunk; a barrier has to follow.
fn mark(b: u32, first: u32, n: u32, h: u32) {
  var sum = vec2<f32>(0.0, 0.0);
  let end = min(first + n + 1u, uniforms.time);
  for (var t = first; t < end; t++) {
    let log_decay = max(decay_load(b * uniforms.decay_batch + t * uniforms.decay_time + h), -1000.0);
    let coarse = round(log_decay * 128.0) / 128.0;
    sum += vec2<f32>(coarse, log_decay - coarse);
  }
  marks[n] = sum;
}

/// What is left at token i of what was written at token j <= i.
fn left(i: u32, j: u32) -> f32 {
  let difference = marks[i] - marks[j];
  return exp(difference.x + difference.y);
}
