// What routing kernels share: teams of threads, one per row of logits [rows, EXPERTS], and the scores of the row's experts.
// Constants EXPERTS, SIGMOID, those of common/team.wgsl; binding logits.
const TEAMS: u32 = WORKGROUP / TEAM;
/// Less than any score and its bias.
const NOTHING: f32 = -3e38;

/// Two reductions in one: (maximum m, Σ exp(logit − m)) and (the largest value, its place: the lowest of equals).
alias TeamValue = vec4f;
fn team_combine(a: TeamValue, b: TeamValue) -> TeamValue {
  let most = max(a.x, b.x);
  let sum = a.y * exp(a.x - most) + b.y * exp(b.x - most);
  let second = b.z > a.z || (b.z == a.z && b.w < a.w);
  return vec4f(most, sum, select(a.zw, b.zw, second));
}
#include "common/team.wgsl"

var<workgroup> softmaxes: array<vec2f, TEAMS>;

/// (m, Σ exp(logit − m)) of the row that starts at base, the same bits for every thread of the team. In uniform control flow.
fn softmax_of(base: u32, inside: bool, thread: u32) -> vec2f {
#if SIGMOID
  return vec2f(0.0, 1.0);
#else
  var most = NOTHING;
  var sum = 0.0;
  if (inside) {
    for (var i = thread % TEAM; i < EXPERTS; i += TEAM) {
      let logit = logits_load(base + i);
      if (logit > most) {
        sum *= exp(most - logit);
        most = logit;
      }
      sum += exp(logit - most);
    }
  }
  let all = team_reduce(vec4f(most, sum, 0.0, 0.0), thread);
  // Threads may have added in other orders: one of them is right.
  if (thread % TEAM == 0u) { softmaxes[thread / TEAM] = all.xy; }
  workgroupBarrier();
  return softmaxes[thread / TEAM];
#endif
}

fn score_of(logit: f32, softmax: vec2f) -> f32 {
#if SIGMOID
  let e = exp(-abs(logit));
  return select(e, 1.0, logit >= 0.0) / (1.0 + e);
#else
  return exp(logit - softmax.x) / softmax.y;
#endif
}
