// reduce over the last axis: x [outer, count] → y [outer, parts], `count` units cut into parts of `units_each`. A team of
// threads (common/team.wgsl) per part; thread `lane` combines units lane, lane + TEAM, …
#include "reduce/common.wgsl"

alias TeamValue = f32;
fn team_combine(a: f32, b: f32) -> f32 {
#if FN == 2
  return larger(a, b);
#else
  return a + b;
#endif
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
  var result = identity();
  if (inside) {
    let base = uniforms.skip + (slice / uniforms.parts) * uniforms.count;
    let first = (slice % uniforms.parts) * uniforms.units_each;
    let end = min(first + uniforms.units_each, uniforms.count);
    for (var k = first + lane; k < end; k += TEAM) {
      result = combine(result, element(x_unit(base + k)));
    }
  }
#if VECTOR == 4
  let own = team_combine(team_combine(result.x, result.y), team_combine(result.z, result.w));
#else
  let own = result;
#endif
  let all = team_reduce(own, thread);
  if (inside && lane == 0u) {
    let value = scaled(V(all));
#if VECTOR == 4
    y_store(uniforms.first + slice, value.x);
#else
    y_store(uniforms.first + slice, value);
#endif
  }
}
