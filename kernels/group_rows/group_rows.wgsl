// group_rows: indices [rows] → the numbers of the rows sorted by expert, where each expert's start, and how many those are. A workgroup per expert: it
// counts the rows of those before it, then collects its own, 1024 indices at a time, each marked by a bit in workgroup memory.
alias TeamValue = u32;
fn team_combine(a: TeamValue, b: TeamValue) -> TeamValue { return a + b; }
#include "common/team.wgsl"

const BLOCK = 1024u;
var<workgroup> marks: array<atomic<u32>, 32>;

fn expert_of(row: u32) -> u32 { return u32(clamp(indices_load(row), 0, i32(uniforms.experts) - 1)); }

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let expert = id.x + id.y * groups.x;
  let inside = expert < uniforms.experts;
  var before = 0u;
  for (var row = thread; row < uniforms.rows; row += WORKGROUP) { before += u32(expert_of(row) < expert); }
  var place = team_reduce(before, thread);
#if HAS_COUNTS
  var own = 0u;
  for (var row = thread; row < uniforms.rows; row += WORKGROUP) { own += u32(expert_of(row) == expert); }
  let count = team_reduce(own, thread);
  if (inside && thread == 0u) { counts_store(expert, f32(count)); }
#endif
#if HAS_STARTS
  if (inside && thread == 0u) {
    starts_store(expert, i32(place));
    if (expert == 0u) { starts_store(uniforms.experts, i32(uniforms.rows)); }
  }
#endif
#if HAS_ORDER
  for (var first = 0u; first < uniforms.rows; first += BLOCK) {
    workgroupBarrier();
    if (thread < 32u) { atomicStore(&marks[thread], 0u); }
    workgroupBarrier();
    for (var k = thread; k < BLOCK; k += WORKGROUP) {
      if (first + k < uniforms.rows && expert_of(first + k) == expert) { atomicOr(&marks[k / 32u], 1u << (k % 32u)); }
    }
    workgroupBarrier();
    for (var k = thread; k < BLOCK; k += WORKGROUP) {
      let word = atomicLoad(&marks[k / 32u]);
      if ((word & (1u << (k % 32u))) != 0u && inside) {
        var rank = countOneBits(word & ((1u << (k % 32u)) - 1u));
        for (var w = 0u; w < k / 32u; w++) { rank += countOneBits(atomicLoad(&marks[w])); }
        order_store(place + rank, i32(first + k));
      }
    }
    for (var w = 0u; w < 32u; w++) { place += countOneBits(atomicLoad(&marks[w])); }
  }
#endif
}
