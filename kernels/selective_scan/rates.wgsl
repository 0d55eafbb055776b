// Rates of selective_scan: A [D, N], read in fours.
const LOG2E = 1.4426950408889634;
const LN2 = 0.6931471805599453;

/// Rates of channel d, times log2 e, so that decays are powers of two.
fn rates_at(d: u32, n: u32) -> vec4f {
  return LOG2E * a_row(d * STATES, n);
}
