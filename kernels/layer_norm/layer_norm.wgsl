// layer_norm: y = (s − mean) / sqrt(variance + eps) · weight + bias, s = x + residual, all [rows, WIDTH]; writes s where it is wanted.
// A team of threads per row (common/team.wgsl); a thread keeps its ITEMS units of the row in registers (HELD) between the passes
// for mean, variance and output, or reads them again where they are many. The variance is that of what is left of the mean.
#include "common/norm.wgsl"

fn finish(i: u32, channel: u32, s: V, mean: f32, inverse: f32) {
#if HAS_SUM
  sum_put(i, s);
#endif
  var y = (s - V(mean)) * inverse;
#if HAS_WEIGHT
  y *= weight_unit(channel);
#endif
#if HAS_BIAS
  y += bias_unit(channel);
#endif
  y_put(i, y);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = (group.x + group.y * groups.x) * (WORKGROUP / TEAM) + thread / TEAM;
  let lane = thread % TEAM;
  let inside = row < uniforms.rows;
  let first = row * UNITS;
  var sum = V(0.0);
#if HELD
#for K in 0..ITEMS
  var s$K = V(0.0);
  let own$K = inside && lane + $K * TEAM < UNITS;
  if (own$K) {
    s$K = source(first + lane + $K * TEAM);
    sum += s$K;
  }
#endfor
#else
  if (inside) {
    for (var k = lane; k < UNITS; k += TEAM) {
      sum += source(first + k);
    }
  }
#endif
  let mean = team_reduce(total(sum), thread) / f32(WIDTH);
  var squares = V(0.0);
#if HELD
#for K in 0..ITEMS
  if (own$K) {
    let rest = s$K - V(mean);
    squares += rest * rest;
  }
#endfor
#else
  if (inside) {
    for (var k = lane; k < UNITS; k += TEAM) {
      let rest = source(first + k) - V(mean);
      squares += rest * rest;
    }
  }
#endif
  let inverse = inverseSqrt(team_reduce(total(squares), thread) / f32(WIDTH) + EPS);
#if HELD
#for K in 0..ITEMS
  if (own$K) {
    finish(first + lane + $K * TEAM, lane + $K * TEAM, s$K, mean, inverse);
  }
#endfor
#else
  if (inside) {
    for (var k = lane; k < UNITS; k += TEAM) {
      finish(first + k, k, source(first + k), mean, inverse);
    }
  }
#endif
}
