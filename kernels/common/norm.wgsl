// What layer_norm and rms_norm share: sums over teams (team.wgsl), and a unit of x with its residual.
#include "common/units.wgsl"

alias TeamValue = f32;
fn team_combine(a: TeamValue, b: TeamValue) -> TeamValue {
  return a + b;
}
#include "common/team.wgsl"

fn source(i: u32) -> V {
#if HAS_RESIDUAL
  return x_unit(i) + residual_unit(i);
#else
  return x_unit(i);
#endif
}
