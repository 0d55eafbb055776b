// rms_norm_gradient: dx, dgate [rows, C] and the weight's gradient summed over rows_each rows: partial [rows / rows_each, C],
// which reduce/columns.wgsl adds up. A team of threads (common/team.wgsl) per slice of WIDTH channels of so many rows; a thread
// keeps its ITEMS units of the row, and of the partial sum, in registers (HELD), or reads the row twice where they are many.
#include "rms_norm/common.wgsl"

/// (Σ u², Σ u · e)
alias TeamValue = vec2f;
fn team_combine(a: TeamValue, b: TeamValue) -> TeamValue {
  return a + b;
}
#include "common/team.wgsl"

/// act'(gate).
fn gate_slope(i: u32) -> V {
#if !HAS_GATE
  return V(1.0);
#elif ACTIVATION == 1
  let z = gate_unit(i);
  let s = sigmoid(z);
  return s * (V(1.0) + z * (V(1.0) - s));
#elif ACTIVATION == 2
  let s = sigmoid(gate_unit(i));
  return s * (V(1.0) - s);
#else
  return V(1.0);
#endif
}

/// e = ∂loss / ∂n(u).
fn upstream(d: V, gate: V, f: V) -> V {
#if GATE_FIRST
  return d * f;
#else
  return d * f * gate;
#endif
}

/// Writes dx and dgate; returns the unit's share of dweight.
fn finish(i: u32, s: V, d: V, gate: V, f: V, r: f32, mean: f32) -> V {
  let u = normalised(s, gate);
  let du = r * (upstream(d, gate, f) - u * (r * r * mean));
  // Before dx, which may lie where an input does.
#if HAS_DGATE
#if GATE_FIRST
  dgate_put(i, du * s * gate_slope(i));
#else
  dgate_put(i, d * f * u * r * gate_slope(i));
#endif
#endif
  var dx = du;
#if GATE_FIRST
  dx *= gate;
#endif
#if HAS_DSUM
  dx += dsum_unit(i);
#endif
  dx_put(i, dx);
  let share = d * u * (SCALE * r);
#if GATE_FIRST
  return share;
#else
  return share * gate;
#endif
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let team = (group.x + group.y * groups.x) * (WORKGROUP / TEAM) + thread / TEAM;
  let lane = thread % TEAM;
  let chunk = team / GROUPS;
  let channel = (team % GROUPS) * UNITS;
#if HELD
#for K in 0..ITEMS
  let has$K = lane + $K * TEAM < UNITS;
  var f$K = V(0.0);
  if (has$K) {
    f$K = factor(channel + lane + $K * TEAM);
  }
  var share$K = V(0.0);
#endfor
#endif
  for (var k = 0u; k < uniforms.rows_each; k++) {
    let row = chunk * uniforms.rows_each + k;
    let inside = row < uniforms.rows;
    let first = row * (GROUPS * UNITS) + channel;
    var sums = vec2f(0.0);
#if HELD
#for K in 0..ITEMS
    var s$K = V(0.0);
    var d$K = V(0.0);
    var g$K = V(1.0);
    if (inside && has$K) {
      s$K = x_unit(first + lane + $K * TEAM);
      d$K = dy_unit(first + lane + $K * TEAM);
      g$K = gate_value(first + lane + $K * TEAM);
      let u = normalised(s$K, g$K);
      sums += vec2f(total(u * u), total(u * upstream(d$K, g$K, f$K)));
    }
#endfor
#else
    if (inside) {
      for (var j = lane; j < UNITS; j += TEAM) {
        let gate = gate_value(first + j);
        let u = normalised(x_unit(first + j), gate);
        sums += vec2f(total(u * u), total(u * upstream(dy_unit(first + j), gate, factor(channel + j))));
      }
    }
#endif
    sums = team_reduce(sums, thread) / f32(WIDTH);
    let r = inverseSqrt(sums.x + EPS);
#if HELD
#for K in 0..ITEMS
    if (inside && has$K) {
      share$K += finish(first + lane + $K * TEAM, s$K, d$K, g$K, f$K, r, sums.y);
    }
#endfor
#else
    if (inside) {
      for (var j = lane; j < UNITS; j += TEAM) {
        var share = finish(first + j, x_unit(first + j), dy_unit(first + j), gate_value(first + j), factor(channel + j), r, sums.y);
#if HAS_PARTIAL
        let at = (uniforms.partial_first + chunk) * (GROUPS * UNITS) + channel + j;
        if (k > 0u) {
          share += partial_unit(at);
        }
        partial_put(at, share);
#endif
      }
    }
#endif
  }
#if HELD && HAS_PARTIAL
  if (chunk * uniforms.rows_each < uniforms.rows) {
#for K in 0..ITEMS
    if (has$K) {
      partial_put((uniforms.partial_first + chunk) * (GROUPS * UNITS) + channel + lane + $K * TEAM, share$K);
    }
#endfor
  }
#endif
}
