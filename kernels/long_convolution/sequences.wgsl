// Where an element of a sequence lies: tensors are [rows, T, D] (a kernel's taps [D, T]); correlations are convolutions of sequences that run
// backwards in time.

fn token_of(m: u32) -> u32 {
#if REVERSED
  return uniforms.tokens - 1u - m;
#else
  return m;
#endif
}

fn element_of(row: u32, m: u32, channel: u32) -> u32 {
  return uniforms.before + (row * uniforms.tokens + token_of(m)) * CHANNELS + channel;
}
