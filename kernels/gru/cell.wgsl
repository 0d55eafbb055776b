// One unit of a gru cell: gates from the input's projections and the recurrent ones, and what the backward pass keeps of them.
alias V = f32;
#include "common/math.wgsl"

/// h of unit j after a token, given its recurrent products and h before it.
fn cell(token: u32, j: u32, products: vec3f, before: f32) -> f32 {
  var recurrent = products;
#if HAS_BIAS
  recurrent += vec3f(bias_load(j), bias_load(HIDDEN + j), bias_load(2u * HIDDEN + j));
#endif
  let x = 3u * token * HIDDEN + j;
  let r = sigmoid(x_load(x) + recurrent.x);
  let z = sigmoid(x_load(x + HIDDEN) + recurrent.y);
  let n = tanh_safe(x_load(x + 2u * HIDDEN) + r * recurrent.z);
#if HAS_GATES
  let kept = 4u * token * HIDDEN + j;
  gates_store(kept, r);
  gates_store(kept + HIDDEN, z);
  gates_store(kept + 2u * HIDDEN, n);
  gates_store(kept + 3u * HIDDEN, recurrent.z);
#endif
  return (1.0 - z) * n + z * before;
}
