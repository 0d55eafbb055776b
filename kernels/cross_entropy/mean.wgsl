// cross_entropy, second of two: combines the parts of each row into lse [rows], and the rows into loss [] and count []. One
// workgroup: thread t goes through rows t, t + WORKGROUP, …, then a team of all threads adds up (common/team.wgsl).

/// (Σ losses, rows in the mean)
alias TeamValue = vec2f;
fn team_combine(a: TeamValue, b: TeamValue) -> TeamValue {
  return a + b;
}
#include "common/team.wgsl"

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) thread: u32) {
  let wrong = bitcast<f32>(0x7fc00000u + uniforms.zero);
  var own = vec2f(0.0);
  for (var row = thread; row < uniforms.rows; row += WORKGROUP) {
    var most = partial_load(2u * row * uniforms.parts);
    var sum = partial_load(2u * row * uniforms.parts + 1u);
    for (var k = 1u; k < uniforms.parts; k++) {
      let at = 2u * (row * uniforms.parts + k);
      let m = max(most, partial_load(at));
      sum = sum * exp(most - m) + partial_load(at + 1u) * exp(partial_load(at) - m);
      most = m;
    }
    // Logits that are infinite or NaN have no softmax. They are told by bits, since compilers may assume that there are none, and
    // by the sum too: some devices have exp(NaN) = infinity.
    let exponents = max(bitcast<u32>(most) & 0x7f800000u, bitcast<u32>(sum) & 0x7f800000u);
    let above = select(log(sum), wrong, exponents == 0x7f800000u);
#if HAS_LSE
    lse_store(row, most + above);
#endif
    let label = targets_load(row);
    if (label != bitcast<i32>(IGNORE)) {
      // Large numbers first: their difference is small where the loss is.
      own += vec2f(select(wrong, (most - picked_load(row)) + above, u32(label) < CLASSES), 1.0);
    }
  }
  let all = team_reduce(own, thread);
  if (thread == 0u) {
#if HAS_LOSS
    loss_store(0u, all.x / max(all.y, 1.0));
#endif
#if HAS_COUNT
    count_store(0u, all.y);
#endif
  }
}
