// rope: rotates pairs (j, j + r/2) of each head's first r channels by position · inv_freq[j]. x, y [B,T,H,d], y may be x.
// A thread takes WIDTH pairs (or channels that pass unchanged) of one token, and `heads_each` heads one after the other.
// Angles are exact to 2^-32 of a turn at any position: turns per token in 64-bit fixed point times the position, modulo one.

/// a · b as low and high word.
fn multiply(a: u32, b: u32) -> vec2u {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let middle = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
  let other = (a & 0xffffu) * (b >> 16u) + (middle & 0xffffu);
  return vec2u((other << 16u) | (low & 0xffffu), (a >> 16u) * (b >> 16u) + (middle >> 16u) + (other >> 16u));
}

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
  let a = multiply(mantissa, 0x7f09d5f4u);
  let b = multiply(mantissa, 0x9391054au);
  let c = multiply(mantissa, 0x28be60dbu);
  let second = a.y + b.x;
  let third = b.y + c.x + select(0u, 1u, second < b.x);
  let fourth = c.y + select(0u, 1u, third < c.x);
  let product = vec4u(a.x, second, third, fourth);
  let shift = 182u - min(exponent, 182u);
  return vec2u(bits_from(product, shift), bits_from(product, shift + 32u));
}

/// Cosine and sine of a fraction of a turn (times 2^32): polynomials of the Cephes library on an eighth of a turn to each side.
fn cosine_and_sine(turn: u32) -> vec2f {
  let quadrant = (turn + 0x20000000u) >> 30u;
  let x = f32(bitcast<i32>(turn - (quadrant << 30u))) * 1.4629180792671596e-9;
  let q = x * x;
  let sine = x + x * q * (-1.6666654611e-1 + q * (8.3321608736e-3 - q * 1.9515295891e-4));
  let cosine = 1.0 - 0.5 * q + q * q * (4.166664568298827e-2 + q * (-1.388731625493765e-3 + q * 2.443315711809948e-5));
  let odd = (quadrant & 1u) == 1u;
  let c = select(cosine, sine, odd);
  let s = select(sine, cosine, odd);
  return vec2f(select(c, -c, quadrant == 1u || quadrant == 2u), select(s, -s, quadrant >= 2u));
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
  let turn = each.y * steps + multiply(each.x, steps).y;
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
