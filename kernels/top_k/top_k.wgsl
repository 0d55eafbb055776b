// top_k: logits [rows, EXPERTS] (+ bias) → weights and indices [rows, K], best first. A team of threads per row, which keeps in
// workgroup memory by what each expert is chosen; K times it finds the largest and takes it out.
#include "top_k/scores.wgsl"

var<workgroup> choice: array<f32, TEAMS * EXPERTS>;
#if TOP_GROUPS < GROUPS
const GROUP_SIZE: u32 = EXPERTS / GROUPS;
var<workgroup> totals: array<f32, TEAMS * GROUPS>;
#endif

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let team = thread / TEAM;
  let lane = thread % TEAM;
  let row = (id.x + id.y * groups.x) * TEAMS + team;
  let inside = row < uniforms.rows;
  let base = row * EXPERTS;
  let softmax = softmax_of(base, inside, thread);
  for (var i = lane; i < EXPERTS; i += TEAM) {
    var value = NOTHING;
    if (inside) { value = score_of(logits_load(base + i), softmax); }
#if HAS_BIAS
    value += bias_load(i);
#endif
    choice[team * EXPERTS + i] = value;
  }
#if TOP_GROUPS < GROUPS
  workgroupBarrier();
  for (var g = lane; g < GROUPS; g += TEAM) {
    var best = NOTHING;
    var second = NOTHING;
    for (var i = 0u; i < GROUP_SIZE; i++) {
      let value = choice[team * EXPERTS + g * GROUP_SIZE + i];
      second = max(second, min(best, value));
      best = max(best, value);
    }
    totals[team * GROUPS + g] = select(best, best + second, GROUP_SIZE > 1u);
  }
  workgroupBarrier();
  for (var i = lane; i < EXPERTS; i += TEAM) {
    let own = i / GROUP_SIZE;
    let total = totals[team * GROUPS + own];
    var better = 0u;
    for (var g = 0u; g < GROUPS; g++) {
      let other = totals[team * GROUPS + g];
      better += u32(other > total || (other == total && g < own));
    }
    if (better >= TOP_GROUPS) { choice[team * EXPERTS + i] = NOTHING; }
  }
#endif

  // Every thread goes on with the experts that it wrote itself.
  var chosen: array<u32, K>;
  var sum = 0.0;
  for (var j = 0u; j < K; j++) {
    var best = vec2f(NOTHING, 0.0);
    for (var i = lane; i < EXPERTS; i += TEAM) {
      let value = choice[team * EXPERTS + i];
      if (value > best.x) { best = vec2f(value, f32(i)); }
    }
    let expert = min(u32(team_reduce(vec4f(0.0, 0.0, best), thread).w), EXPERTS - 1u);
    if (expert % TEAM == lane) { choice[team * EXPERTS + expert] = NOTHING; }
    chosen[j] = expert;
    sum += score_of(logits_load(base + expert), softmax);
  }
  if (!inside || lane != 0u) { return; }
#if NORMALIZE
  let factor = SCALE / (sum + EPS);
#else
  let factor = SCALE;
#endif
  for (var j = 0u; j < K; j++) {
#if HAS_WEIGHTS
    weights_store(row * K + j, factor * score_of(logits_load(base + chosen[j]), softmax));
#endif
#if HAS_INDICES
    indices_store(row * K + j, i32(chosen[j]));
#endif
  }
}
