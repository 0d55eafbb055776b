// rms_norm: y = scale · n(x) · w · act(gate), sum = x + residual; x, gate, residual, y, sum [rows, C], n over GROUPS slices of
// WIDTH channels. A team of threads per slice (common/team.wgsl); a thread keeps its ITEMS units of VECTOR elements in
// registers between the pass that sums squares and the pass that writes, or reads them again where they are many (!HELD).
#include "common/norm.wgsl"
#include "rms_norm/common.wgsl"

fn finish(i: u32, channel: u32, s: V, gate: V, inverse: f32) {
#if HAS_SUM
  sum_put(i, s);
#endif
  y_put(i, s * gate * (inverse * factor(channel)));
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let slice = (group.x + group.y * groups.x) * (WORKGROUP / TEAM) + thread / TEAM;
  let lane = thread % TEAM;
  let inside = slice < uniforms.slices;
  let first = slice * UNITS;
  let channel = (slice % GROUPS) * UNITS;
  var squares = V(0.0);
#if HELD
#for K in 0..ITEMS
  var s$K = V(0.0);
  var g$K = V(1.0);
  let own$K = inside && lane + $K * TEAM < UNITS;
  if (own$K) {
    s$K = source(first + lane + $K * TEAM);
    g$K = gate_value(first + lane + $K * TEAM);
    let u = normalised(s$K, g$K);
    squares += u * u;
  }
#endfor
#else
  if (inside) {
    for (var k = lane; k < UNITS; k += TEAM) {
      let u = normalised(source(first + k), gate_value(first + k));
      squares += u * u;
    }
  }
#endif
  let inverse = inverseSqrt(team_reduce(total(squares), thread) / f32(WIDTH) + EPS);
#if HELD
#for K in 0..ITEMS
  if (own$K) {
    finish(first + lane + $K * TEAM, channel + lane + $K * TEAM, s$K, g$K, inverse);
  }
#endfor
#else
  if (inside) {
    for (var k = lane; k < UNITS; k += TEAM) {
      finish(first + k, channel + k, source(first + k), gate_value(first + k), inverse);
    }
  }
#endif
}
