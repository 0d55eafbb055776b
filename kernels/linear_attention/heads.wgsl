// Rows of q, k, v, y and the gates of linear attention: READERS outputs per state head. Sizes are uniforms, so that layers of
// other sizes share pipelines; constants are what loops and arrays depend on.

/// Row of q [B, T, query_heads] that output head `output` reads.
fn query_row(b: u32, t: u32, output: u32) -> u32 {
  return (b * uniforms.time + t) * uniforms.query_heads + output / uniforms.outputs_per_query;
}

/// Row of k [B, T, key_heads] that writes state head `h`.
fn key_row(b: u32, t: u32, h: u32) -> u32 {
  return (b * uniforms.time + t) * uniforms.key_heads + h / uniforms.heads_per_key;
}

/// Row of v, beta and whatever else is [B, T, heads].
fn head_row(b: u32, t: u32, h: u32) -> u32 {
  return (b * uniforms.time + t) * uniforms.heads + h;
}

/// Row of y [B, T, outputs].
fn output_row(b: u32, t: u32, output: u32) -> u32 {
  return (b * uniforms.time + t) * uniforms.outputs + output;
}
