// Angles as fractions of a turn in fixed point, times 2^32: they wrap exactly, and WGSL's own sin and cos may err by 2^-11.

/// a · b as low and high word.
fn wide_product(a: u32, b: u32) -> vec2u {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let middle = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
  let other = (a & 0xffffu) * (b >> 16u) + (middle & 0xffffu);
  return vec2u((other << 16u) | (low & 0xffffu), (a >> 16u) * (b >> 16u) + (middle >> 16u) + (other >> 16u));
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
