// rope: rotates pairs (j, j + r/2) of each head's first r channels by position · inv_freq[j]. x, y [B,T,H,d], y may be x.
// A thread takes WIDTH pairs (or channels that pass unchanged) of one token, and `heads_each` heads one after the other.
// Angles are exact to 2^-32 of a turn at any position: turns per token in 64-bit fixed point times the position, modulo one.

#include "common/turns.wgsl"

/// 32 bits from bit `shift` on of a number of four words.
fn bits_from(x: vec4u, shift: u32) -> u32 {
  let first = shift >> 5u;
  let rest = shift & 31u;
  let low = select(0u, x[min(first, 3u)], first < 4u);
  let high = select(0u, x[min(first + 1u, 3u)], first < 3u);
  return (low >> rest) | select(0u, high << (32u - rest), rest > 0u);
}

/// |f| / 2π modulo one, times 2^64: the mantissa times 1 / 2π to 96 bits, shifted by the exponent.
fn turns_each(f: f32) -> vec2u {
  let bits = bitcast<u32>(f) & 0x7fffffffu;
  let exponent = max(bits >> 23u, 1u);
  let mantissa = (bits & 0x7fffffu) | select(0u, 0x800000u, bits >= 0x800000u);
  let a = wide_product(mantissa, 0x7f09d5f4u);
  let b = wide_product(mantissa, 0x9391054au);
  let c = wide_product(mantissa, 0x28be60dbu);
  let second = a.y + b.x;
  let third = b.y + c.x + select(0u, 1u, second < b.x);
  let fourth = c.y + select(0u, 1u, third < c.x);
  let product = vec4u(a.x, second, third, fourth);
  let shift = 182u - min(exponent, 182u);
  return vec2u(bits_from(product, shift), bits_from(product, shift + 32u));
}

fn position_of(token: u32) -> i32 {
#if AXES == 0
  return i32(token % uniforms.tokens);
#elif AXES == 1
  return positions_load(token / uniforms.tokens) + i32(token % uniforms.tokens);
#else
  return positions_load(token);
#endif
}

/// Cosine and sine of pair j at a position, with the factor of the op.
fn rotation(j: u32, position: i32) -> vec2f {
  let f = inv_freq_load(j);
  let each = turns_each(f);
  let steps = u32(select(position, -position, position < 0));
  let turn = each.y * steps + wide_product(each.x, steps).y;
  var r = cosine_and_sine(turn) * FACTOR;
  if ((position < 0) != (f < 0.0)) {
    r.y = -r.y;
  }
  return vec2f(r.x, r.y * SIGN);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let item = id.x + id.y * groups.x * 64u;
  if (item >= uniforms.items) {
    return;
  }
  let j = item % ITEMS;
  let rest = item / ITEMS;
  let first_head = rest % uniforms.head_groups * uniforms.heads_each;
  let last_head = min(HEADS, first_head + uniforms.heads_each);
  let token = rest / uniforms.head_groups;
  let base = token * HEADS * VECTORS;
  if (j >= PAIRS) {
    for (var head = first_head; head < last_head; head++) {
      let at = base + head * VECTORS + PAIRS + j;
#if WIDTH == 4
      y_store4(at, x_load4(at));
#else
      y_store(at, x_load(at));
#endif
    }
    return;
  }
  let position = position_of(uniforms.first_token + token);
#if WIDTH == 4
  var c: vec4f;
  var s: vec4f;
  for (var k = 0u; k < 4u; k++) {
    let r = rotation(4u * j + k, position);
    c[k] = r.x;
    s[k] = r.y;
  }
#else
  let r = rotation(j, position);
  let c = r.x;
  let s = r.y;
#endif
  for (var head = first_head; head < last_head; head++) {
    let at = base + head * VECTORS + j;
#if WIDTH == 4
    let a = x_load4(at);
    let b = x_load4(at + PAIRS);
    y_store4(at, a * c - b * s);
    y_store4(at + PAIRS, b * c + a * s);
#else
    let a = x_load(at);
    let b = x_load(at + PAIRS);
    y_store(at, a * c - b * s);
    y_store(at + PAIRS, b * c + a * s);
#endif
  }
}
