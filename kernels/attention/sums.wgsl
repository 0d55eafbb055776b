// What a row of attention ends with: `total` is Σ exp2(s − top), `top` its running maximum in log2, a total of 0 that of a row that
// sees no key: its output is zero, its log-sum-exp minus infinity.
const LN2: f32 = 0.6931471805599453;

fn inverse_of(total: f32) -> f32 {
  return select(1.0 / max(total, 1e-37), 0.0, total == 0.0);
}

fn log_sum(top: f32, total: f32) -> f32 {
  return select(top * LN2 + log(max(total, 1e-37)), bitcast<f32>(0xff800000u + uniforms.zero), total == 0.0);
}
