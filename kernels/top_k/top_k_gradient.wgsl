// top_k_gradient: logits [rows, EXPERTS], indices and dweights [rows, K] → dlogits [rows, EXPERTS]; the equations stand in
// src/ops/top-k-gradient/op.ts. A team of threads per row; each of them goes through the K chosen experts.
#include "top_k/scores.wgsl"

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = (id.x + id.y * groups.x) * TEAMS + thread / TEAM;
  let inside = row < uniforms.rows;
  let base = row * EXPERTS;
  let softmax = softmax_of(base, inside, thread);
  if (!inside) { return; }
  var chosen: array<u32, K>;
  var scores: array<f32, K>;
  var sum = 0.0;
  var weighted = 0.0;
  for (var j = 0u; j < K; j++) {
    chosen[j] = u32(indices_load(row * K + j));
    scores[j] = score_of(logits_load(base + chosen[j]), softmax);
    sum += scores[j];
    weighted += scores[j] * dweights_load(row * K + j);
  }
#if NORMALIZE
  let share = 1.0 / (sum + EPS);
  let mean = weighted * share;
#else
  let share = 1.0;
  let mean = 0.0;
#endif
  var total = 0.0;
  for (var j = 0u; j < K; j++) {
    scores[j] *= SCALE * share * (dweights_load(row * K + j) - mean);
    total += scores[j];
  }
  for (var i = thread % TEAM; i < EXPERTS; i += TEAM) {
    var own = 0.0;
    for (var j = 0u; j < K; j++) {
      if (chosen[j] == i) { own = scores[j]; }
    }
    let score = score_of(logits_load(base + i), softmax);
#if SIGMOID
    dlogits_store(base + i, own * (1.0 - score));
#else
    dlogits_store(base + i, own - score * total);
#endif
  }
}
