// What a token does to the state of rg_lru: it decays by a = e^l and gains m x, m = sqrt(1 - a²), or 1 at the first token of a sequence.

/// 1 - e^y for y <= 0, by its series where the difference would lose digits.
fn one_minus_exp(y: f32) -> f32 {
  let small = -y * (1.0 + y * (0.5 + y * (1.0 / 6.0 + y * (1.0 / 24.0 + y * (1.0 / 120.0 + y * (1.0 / 720.0))))));
  return select(1.0 - exp(y), small, y > -0.35);
}

fn factor_of(log_a: f32) -> f32 {
  return sqrt(one_minus_exp(2.0 * log_a));
}

/// Whether the call starts the sequence of this row.
fn starts_at(row: u32) -> bool {
#if HAS_POSITION
  return position_load(uniforms.first + row) == 0;
#else
  return true;
#endif
}
