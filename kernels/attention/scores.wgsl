// Scores of four neighbouring keys: capping and masking, forward and backward alike.
alias V = vec4<f32>;
#include "common/math.wgsl"

const LOG2_E: f32 = 1.4426950408889634;
/// Score of a masked key, far below the first running maximum.
const MASKED: f32 = -1e30;
const FIRST_MAXIMUM: f32 = -1e20;

fn sum4(x: vec4f) -> f32 {
  return (x.x + x.y) + (x.z + x.w);
}

/// cap · tanh(s / cap) in units of log2; the division is part of SCORE_SCALE.
fn capped(s: vec4f) -> vec4f {
#if CAPPED
  return tanh_safe(s) * CAP;
#else
  return s;
#endif
}

/// Whether some row between positions `first` and `last` must not see one of the keys begin … begin + 3, of which there are `end`.
fn is_edge(begin: i32, first: i32, last: i32, end: i32) -> bool {
  var edge = begin + 4 > end;
#if CAUSAL
  edge = edge || begin + 3 > first;
#endif
#if WINDOW > 0
  edge = edge || begin <= last - i32(WINDOW);
#endif
  return edge;
}

/// Which of the keys begin … begin + 3 a row at position `at` sees.
fn visible_keys(begin: i32, at: i32, end: i32) -> vec4<bool> {
  let j = begin + vec4i(0, 1, 2, 3);
  var visible = j < vec4i(end);
#if CAUSAL
  visible = visible & (j <= vec4i(at));
#endif
#if WINDOW > 0
  visible = visible & (j > vec4i(at - i32(WINDOW)));
#endif
  return visible;
}

/// Slope of `capped` at those scores, per unit of the product scale · q·k.
fn score_slope(s: vec4f) -> vec4f {
#if CAPPED
  let t = tanh_safe(s);
  return vec4f(1.0) - t * t;
#else
  return vec4f(1.0);
#endif
}
