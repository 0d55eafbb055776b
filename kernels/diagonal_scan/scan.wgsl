// diagonal_scan: h ← h + (Ā - 1) h + u, y = Re Σₙ 2 C B̄ h; u, y [rows,T,D], h [rows,D,M,2]. LANES neighbouring channels by TEAMS teams of threads;
// a thread keeps EACH modes in registers and walks through `span` tokens, of which workgroup memory holds TOKENS with the teams' sums.
// CHUNKED: a workgroup per run of `span` tokens: ENDS leaves the states after a run that began at zero, otherwise runs begin at `starts`.
// Modes come from a table [D · M, 16] (s4d_kernel/modes.wgsl); without it threads discretise theirs: a decoding step is one dispatch.
#if HAS_MODES
#include "s4d_kernel/powers.wgsl"
#else
#include "s4d_kernel/discretise.wgsl"
#endif

var<workgroup> staged: array<f32, TOKENS * LANES>;
#if !ENDS
var<workgroup> sums: array<f32, TOKENS * TEAMS * LANES>;
#endif

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let group = id.x + id.y * groups.x;
  let lane = local % LANES;
  let team = local / LANES;
  let channel = group % CHANNEL_GROUPS * LANES + lane;
  let run = group / CHANNEL_GROUPS % uniforms.runs;
  let row = group / CHANNEL_GROUPS / uniforms.runs;
  let exists = channel < CHANNELS && row < uniforms.rows;
  let begin = run * uniforms.span;
  let end = select(0u, min(uniforms.tokens, begin + uniforms.span), row < uniforms.rows);
  let first_mode = channel * MODES + team * EACH;
  let state = row * CHANNELS * MODES + first_mode;
  let own = select(0u, min(EACH, MODES - min(MODES, team * EACH)), exists);
  // A loop, because the discretisation is long; what it finds then moves to registers.
  var increments: array<vec2f, EACH>;
  var weights: array<vec2f, EACH>;
#if !HAS_MODES
  let delta = wide_parameter(log_dt_load(min(channel, CHANNELS - 1u)));
#endif
  for (var n = 0u; n < own; n++) {
    let i = first_mode + n;
#if HAS_MODES
    increments[n] = increment_at(i);
    weights[n] = weight_at(i);
#else
    let mode = discretise(delta, wide_parameter(log_real_load(i)).x, imaginary_load(i));
    increments[n] = mode.increment;
    weights[n] = 2.0 * complex_product(vec2f(c_load(2u * i), c_load(2u * i + 1u)), mode.drive);
#endif
  }
#for n in 0..EACH
  let increment_$n = increments[$n];
  let weight_$n = weights[$n];
  var h_$n = vec2f(0.0);
  if ($n < own) {
    let i = first_mode + $n;
#if CHUNKED && !ENDS
    let at = 2u * ((row * uniforms.runs + run) * CHANNELS * MODES + i);
    h_$n = vec2f(starts_load(at), starts_load(at + 1u));
#elif HAS_H0 && !ENDS
    h_$n = vec2f(h0_load(2u * (state + $n)), h0_load(2u * (state + $n) + 1u));
#endif
  }
#endfor
  for (var first = begin; first < end; first += TOKENS) {
    let count = min(TOKENS, end - first);
    workgroupBarrier();
    for (var i = local; i < count * LANES; i += WORKGROUP) {
      let source = group % CHANNEL_GROUPS * LANES + i % LANES;
      var value = 0.0;
      if (source < CHANNELS) {
        value = u_load((row * uniforms.tokens + first + i / LANES) * CHANNELS + source);
      }
      staged[i] = value;
    }
    workgroupBarrier();
    for (var t = 0u; t < count; t++) {
      let u = vec2f(staged[t * LANES + lane], 0.0);
      var sum = 0.0;
#for n in 0..EACH
      h_$n += complex_product(increment_$n, h_$n) + u;
      sum += weight_$n.x * h_$n.x - weight_$n.y * h_$n.y;
#endfor
#if !ENDS
      sums[(t * TEAMS + team) * LANES + lane] = sum;
#endif
    }
#if !ENDS
    workgroupBarrier();
    for (var i = local; i < count * LANES; i += WORKGROUP) {
      let target_channel = group % CHANNEL_GROUPS * LANES + i % LANES;
      var total = 0.0;
      for (var k = 0u; k < TEAMS; k++) {
        total += sums[(i / LANES * TEAMS + k) * LANES + i % LANES];
      }
      if (target_channel < CHANNELS) {
        y_store((row * uniforms.tokens + first + i / LANES) * CHANNELS + target_channel, total);
      }
    }
#endif
  }
#for n in 0..EACH
  if ($n < own) {
#if ENDS
    let at = 2u * ((row * uniforms.runs + run) * CHANNELS * MODES + first_mode + $n);
    starts_store(at, h_$n.x);
    starts_store(at + 1u, h_$n.y);
#elif HAS_HT
    ht_store(2u * (state + $n), h_$n.x);
    ht_store(2u * (state + $n) + 1u, h_$n.y);
#endif
  }
#endfor
}
