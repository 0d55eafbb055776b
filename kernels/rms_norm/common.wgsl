// What rms_norm and its gradient share: the gate, what is normalised, and the factor of a channel.
#include "common/units.wgsl"
#include "common/math.wgsl"

/// act(gate), or one.
fn gate_value(i: u32) -> V {
#if !HAS_GATE
  return V(1.0);
#elif ACTIVATION == 1
  return silu(gate_unit(i));
#elif ACTIVATION == 2
  return sigmoid(gate_unit(i));
#else
  return gate_unit(i);
#endif
}

/// What is normalised: s, gated already where the gate comes first.
fn normalised(s: V, gate: V) -> V {
#if GATE_FIRST
  return s * gate;
#else
  return s;
#endif
}

/// scale · w of a channel.
fn factor(channel: u32) -> V {
#if !HAS_WEIGHT
  return V(SCALE);
#elif ONE_PLUS_WEIGHT
  return SCALE * (V(1.0) + weight_unit(channel));
#else
  return SCALE * weight_unit(channel);
#endif
}
