// The exponent that sums of wkv are relative to.

/// o, or next to nothing where nothing has been seen.
fn exponent_of(den: f32, o: f32) -> f32 {
  return select(o, -1e38, den == 0.0);
}
