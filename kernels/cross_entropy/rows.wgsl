// cross_entropy, first of two: logits [rows, CLASSES] → for every row and part of `units_each` units of classes the maximum and
// the sum of exponentials below it, and the target's logit. A team of threads per part (common/team.wgsl); softmax is taken
// online (Milakov & Gimelshein 2018), so that the logits are read once.
#include "common/units.wgsl"

/// (maximum m, Σ exp(logit − m))
alias TeamValue = vec2f;
fn team_combine(a: TeamValue, b: TeamValue) -> TeamValue {
  let m = max(a.x, b.x);
  return vec2f(m, a.y * exp(a.x - m) + b.y * exp(b.x - m));
}
#include "common/team.wgsl"

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let slice = (group.x + group.y * groups.x) * (WORKGROUP / TEAM) + thread / TEAM;
  let lane = thread % TEAM;
  let inside = slice < uniforms.slices;
  let row = slice / uniforms.parts;
  // A finite start: masked classes are minus infinity, and their exponentials zero.
  var most = -3e38;
  var sum = 0.0;
  if (inside) {
    let base = row * (CLASSES / VECTOR);
    let first = (slice % uniforms.parts) * uniforms.units_each;
    let end = min(first + uniforms.units_each, CLASSES / VECTOR);
    for (var k = first + lane; k < end; k += TEAM) {
      let x = logits_unit(base + k);
#if VECTOR == 4
      let largest = max(max(x.x, x.y), max(x.z, x.w));
#else
      let largest = x;
#endif
      if (largest > most) {
        sum *= exp(most - largest);
        most = largest;
      }
      sum += total(exp(x - V(most)));
    }
  }
  let all = team_reduce(vec2f(most, sum), thread);
  if (inside && lane == 0u) {
    let at = uniforms.first_row * uniforms.parts + slice;
    partial_store(2u * at, all.x);
    partial_store(2u * at + 1u, all.y);
    if (slice % uniforms.parts == 0u) {
      // A target that is no class is told by the second dispatch; a negative one is a very large class here.
      let target_class = min(u32(targets_load(uniforms.first_row + row)), CLASSES - 1u);
      picked_store(uniforms.first_row + row, logits_load(row * CLASSES + target_class));
    }
  }
}
