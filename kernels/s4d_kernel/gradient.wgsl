// s4d_kernel_gradient: modes [D · M, 16] (modes.wgsl), C and dK [D,T] -> gradients of log_dt [D], A_log_real, A_imag [D,M], C [D,M,2].
// A workgroup per channel: TILE modes by SEGMENTS runs of `span` tokens. A thread evaluates Σ dK[l] Ā^l and its derivative for one mode and
// run by Horner's rule; runs are brought together by exact powers and added in order.
#include "s4d_kernel/powers.wgsl"

var<workgroup> upstream: array<f32, MOST_TOKENS + SEGMENTS>;
var<workgroup> sums: array<vec4f, TILE * SEGMENTS>;
var<workgroup> steps: array<f32, TILE>;

/// Δ Ā - B̄ of zero-order hold, z = Δ A: a series where the difference cancels.
fn shortfall(mode: Mode) -> vec2f {
  let z = mode.step * mode.rate;
  if (dot(z, z) > 0.25) {
    return mode.step * (mode.increment + vec2f(1.0, 0.0)) - mode.drive;
  }
  var power = z;
  var total = vec2f(0.0);
  var factorial = 2.0;
  for (var k = 1.0; k < 11.0; k += 1.0) {
    total += power * (k / factorial);
    power = complex_product(power, z);
    factorial *= k + 2.0;
  }
  return mode.step * total;
}

/// Gradients of A and of log Δ, from those of Ā and B̄.
fn through_discretisation(mode: Mode, of_decay: vec2f, of_drive: vec2f) -> vec3f {
#if EULER
  let of_step = complex_product(of_decay, mode.rate).x + of_drive.x;
  let direct = mode.step * of_decay;
  if (mode.limited) {
    // Δ = -Re A / |A|².
    let re = mode.rate.x;
    let im = mode.rate.y;
    let size = re * re + im * im;
    return vec3f(direct + of_step / size * vec2f((re * re - im * im) / size, -2.0 * re * im / size), 0.0);
  }
  return vec3f(direct, mode.step * of_step);
#else
  let decay = mode.increment + vec2f(1.0, 0.0);
  let driven = complex_quotient(of_drive, mode.rate);
  let of_rate = mode.step * complex_product(of_decay, decay) + complex_product(driven, shortfall(mode));
  let total = complex_product(of_decay + driven, decay);
  return vec3f(of_rate, mode.step * complex_product(total, mode.rate).x);
#endif
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let group = id.x + id.y * groups.x;
  let row = min(group, uniforms.channels - 1u);
  let channel = uniforms.first_channel + row;
  let lane = local % TILE;
  let segment = local / TILE;
  let span = uniforms.span;
  let tile_tokens = span * SEGMENTS;
  var of_log_step = 0.0;
  for (var start = 0u; start < MODES; start += TILE) {
    let n = channel * MODES + min(start + lane, MODES - 1u);
    let increment = increment_at(n);
    let polar = polar_at(n);
    // Σ dK[l] Ā^l and Σ l dK[l] Ā^(l - 1).
    var total = vec4f(0.0);
    for (var first = 0u; first < uniforms.tokens; first += tile_tokens) {
      workgroupBarrier();
      for (var i = local; i < tile_tokens; i += WORKGROUP) {
        var value = 0.0;
        if (first + i < uniforms.tokens) {
          value = dk_load(uniforms.before + row * uniforms.tokens + first + i);
        }
        upstream[i + i / span] = value;
      }
      workgroupBarrier();
      let own = segment * (span + 1u);
      var s0 = vec2f(0.0);
      var s1 = vec2f(0.0);
      for (var j = span; j > 0u; j--) {
        s1 += complex_product(s1, increment) + s0;
        s0 += complex_product(s0, increment) + vec2f(upstream[own + j - 1u], 0.0);
      }
      let l = first + segment * span;
      let power = power_of(polar, l);
      var slope = vec2f(0.0);
      if (l > 0u) {
        slope = f32(l) * power_of(polar, l - 1u);
      }
      total += vec4f(complex_product(power, s0), complex_product(power, s1) + complex_product(slope, s0));
    }
    sums[segment * TILE + lane] = total;
    workgroupBarrier();
    if (segment == 0u) {
      for (var s = 1u; s < SEGMENTS; s++) {
        total += sums[s * TILE + lane];
      }
      let mode = mode_at(n);
      let output = vec2f(c_load(2u * n), c_load(2u * n + 1u));
      let of_weight = 2.0 * total.xy;
      let of_decay = 2.0 * complex_product(complex_product(output, mode.drive), total.zw);
      let of_output = complex_product(of_weight, mode.drive);
      let result = through_discretisation(mode, of_decay, complex_product(of_weight, output));
      let exists = start + lane < MODES;
      steps[lane] = select(0.0, result.z, exists);
      if (exists && group < uniforms.channels) {
#if HAS_DC
        dc_store(2u * n, of_output.x);
        dc_store(2u * n + 1u, -of_output.y);
#endif
#if HAS_DREAL
        dreal_store(n, result.x * mode.rate.x);
#endif
#if HAS_DIMAGINARY
        dimaginary_store(n, -result.y);
#endif
      }
    }
    workgroupBarrier();
    if (local == 0u) {
      for (var k = 0u; k < TILE; k++) {
        of_log_step += steps[k];
      }
    }
  }
#if HAS_DSTEP
  if (local == 0u && group < uniforms.channels) {
    dstep_store(channel, of_log_step);
  }
#endif
}
