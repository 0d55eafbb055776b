// layer_norm_gradient: dx [rows, WIDTH], and the gradients of weight and bias summed over rows_each rows: weight_partial and bias_partial
// [rows / rows_each, WIDTH], which reduce/columns.wgsl adds up. A team of threads (common/team.wgsl) per so many rows; a thread keeps
// its ITEMS units of the row, and of the partial sums, in registers (HELD), or reads the row again where they are many.
#include "common/units.wgsl"

/// (Σ x, Σ e), then (Σ (x − mean)², Σ (x − mean) · e)
alias TeamValue = vec2f;
fn team_combine(a: TeamValue, b: TeamValue) -> TeamValue {
  return a + b;
}
#include "common/team.wgsl"

/// weight, or one.
fn factor(channel: u32) -> V {
#if HAS_WEIGHT
  return weight_unit(channel);
#else
  return V(1.0);
#endif
}

/// dx = r · (e − mean(e) − n · mean(e · n)) + dsum, n = rest · r.
fn finish(i: u32, rest: V, e: V, r: f32, mean_e: f32, mean_en: f32) {
  var dx = r * (e - V(mean_e) - rest * (r * mean_en));
#if HAS_DSUM
  dx += dsum_unit(i);
#endif
  dx_put(i, dx);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let chunk = (group.x + group.y * groups.x) * (WORKGROUP / TEAM) + thread / TEAM;
  let lane = thread % TEAM;
#if HELD
#for K in 0..ITEMS
  let has$K = lane + $K * TEAM < UNITS;
  var f$K = V(0.0);
  if (has$K) {
    f$K = factor(lane + $K * TEAM);
  }
  var dweight$K = V(0.0);
  var dbias$K = V(0.0);
#endfor
#endif
  for (var k = 0u; k < uniforms.rows_each; k++) {
    let row = chunk * uniforms.rows_each + k;
    let inside = row < uniforms.rows;
    let first = row * UNITS;
    var sums = vec2f(0.0);
#if HELD
#for K in 0..ITEMS
    var s$K = V(0.0);
    var d$K = V(0.0);
    if (inside && has$K) {
      s$K = x_unit(first + lane + $K * TEAM);
      d$K = dy_unit(first + lane + $K * TEAM);
      sums += vec2f(total(s$K), total(d$K * f$K));
    }
#endfor
#else
    if (inside) {
      for (var j = lane; j < UNITS; j += TEAM) {
        sums += vec2f(total(x_unit(first + j)), total(dy_unit(first + j) * factor(j)));
      }
    }
#endif
    let means = team_reduce(sums, thread) / f32(WIDTH);
    sums = vec2f(0.0);
#if HELD
#for K in 0..ITEMS
    if (inside && has$K) {
      s$K -= V(means.x);
      sums += vec2f(total(s$K * s$K), total(s$K * d$K * f$K));
    }
#endfor
#else
    if (inside) {
      for (var j = lane; j < UNITS; j += TEAM) {
        let rest = x_unit(first + j) - V(means.x);
        sums += vec2f(total(rest * rest), total(rest * dy_unit(first + j) * factor(j)));
      }
    }
#endif
    sums = team_reduce(sums, thread) / f32(WIDTH);
    let r = inverseSqrt(sums.x + EPS);
#if HELD
#for K in 0..ITEMS
    if (inside && has$K) {
      finish(first + lane + $K * TEAM, s$K, d$K * f$K, r, means.y, sums.y * r);
      dweight$K += d$K * s$K * r;
      dbias$K += d$K;
    }
#endfor
#else
    if (inside) {
      for (var j = lane; j < UNITS; j += TEAM) {
        let rest = x_unit(first + j) - V(means.x);
        let d = dy_unit(first + j);
        finish(first + j, rest, d * factor(j), r, means.y, sums.y * r);
        let at = (uniforms.partial_first + chunk) * UNITS + j;
#if HAS_WEIGHT_PARTIAL
        weight_partial_put(at, d * rest * r + select(V(0.0), weight_partial_unit(at), k > 0u));
#endif
#if HAS_BIAS_PARTIAL
        bias_partial_put(at, d + select(V(0.0), bias_partial_unit(at), k > 0u));
#endif
      }
    }
#endif
  }
#if HELD
  if (chunk * uniforms.rows_each < uniforms.rows) {
#for K in 0..ITEMS
    if (has$K) {
      let at = (uniforms.partial_first + chunk) * UNITS + lane + $K * TEAM;
#if HAS_WEIGHT_PARTIAL
      weight_partial_put(at, dweight$K);
#endif
#if HAS_BIAS_PARTIAL
      bias_partial_put(at, dbias$K);
#endif
    }
#endfor
  }
#endif
}
