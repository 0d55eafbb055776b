// Reductions over teams: TEAM consecutive threads of a workgroup of WORKGROUP, both powers of two. Every thread of a team gets
// the result; its order never changes, so neither do its bits. Call it in uniform control flow. The kernel defines
// `alias TeamValue` and `fn team_combine(a: TeamValue, b: TeamValue) -> TeamValue`. SUBGROUPS says how:
//   0  a tree in workgroup memory
//   1  shuffles: a team fits in the smallest subgroup
//   2  shuffles, then the subgroups' results through workgroup memory: a team is a workgroup
#if SUBGROUPS == 0
var<workgroup> team_values: array<TeamValue, WORKGROUP>;
#elif SUBGROUPS == 2
var<workgroup> team_values: array<TeamValue, WORKGROUP / SUBGROUP_MIN_SIZE>;
#endif

fn team_reduce(value: TeamValue, thread: u32) -> TeamValue {
#if SUBGROUPS == 1
  var result = value;
  for (var step = 1u; step < TEAM; step *= 2u) {
    result = team_combine(result, subgroupShuffleXor(result, step));
  }
  return result;
#elif SUBGROUPS == 2
  let size = subgroupAdd(1u);
  var own = value;
  for (var step = 1u; step < size; step *= 2u) {
    own = team_combine(own, subgroupShuffleXor(own, step));
  }
  // What an earlier call left has been read.
  workgroupBarrier();
  if (subgroupElect()) {
    team_values[thread / size] = own;
  }
  workgroupBarrier();
  var result = team_values[0];
  for (var i = 1u; i < WORKGROUP / size; i++) {
    result = team_combine(result, team_values[i]);
  }
  return result;
#else
  workgroupBarrier();
  team_values[thread] = value;
  for (var step = TEAM / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (thread % TEAM < step) {
      team_values[thread] = team_combine(team_values[thread], team_values[thread + step]);
    }
  }
  workgroupBarrier();
  return team_values[thread - thread % TEAM];
#endif
}
