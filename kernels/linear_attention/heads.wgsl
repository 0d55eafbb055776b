// Rows of q, k, v, y and the gates of linear attention: READERS outputs per state head, OUTPUTS = READERS * HEADS of them.

/// Row of q [B, T, QUERY_HEADS] that output head `output` reads.
fn query_row(b: u32, t: u32, output: u32) -> u32 {
  return (b * uniforms.time + t) * QUERY_HEADS + output / (OUTPUTS / QUERY_HEADS);
}

/// Row of k [B, T, KEY_HEADS] that writes state head `h`.
fn key_row(b: u32, t: u32, h: u32) -> u32 {
  return (b * uniforms.time + t) * KEY_HEADS + h / (HEADS / KEY_HEADS);
}

/// Row of v, beta and whatever else is [B, T, HEADS].
fn head_row(b: u32, t: u32, h: u32) -> u32 {
  return (b * uniforms.time + t) * HEADS + h;
}

/// Row of y [B, T, OUTPUTS].
fn output_row(b: u32, t: u32, output: u32) -> u32 {
  return (b * uniforms.time + t) * OUTPUTS + output;
}
