// Transforms of N = 4^a or 2·4^a complex points in workgroup memory, SEQUENCES of them side by side, N / 4 threads each. A thread keeps four
// points in registers. Decimation in frequency forward, in time back: spectra stay in the order in which they fall out (thread t holds
// 4t … 4t + 3), in place, so an exchange costs one barrier and nothing is ever put in order: products of spectra need no order.
#include "common/turns.wgsl"

const QUARTER = N / 4u;
/// A pad after every 16 points spreads strides of powers of two over banks.
const PADDED = N + N / 16u;

var<workgroup> points: array<vec2f, SEQUENCES * PADDED>;
var<workgroup> roots: array<vec2f, QUARTER>;

struct Four {
  a: vec2f,
  b: vec2f,
  c: vec2f,
  d: vec2f,
}

fn product(a: vec2f, b: vec2f) -> vec2f {
  return vec2f(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

/// a · conj b
fn conjugate_product(a: vec2f, b: vec2f) -> vec2f {
  return vec2f(a.x * b.x + a.y * b.y, a.y * b.x - a.x * b.y);
}

fn products(x: Four, y: Four) -> Four {
  return Four(product(x.a, y.a), product(x.b, y.b), product(x.c, y.c), product(x.d, y.d));
}

fn sum(x: Four, y: Four) -> Four {
  return Four(x.a + y.a, x.b + y.b, x.c + y.c, x.d + y.d);
}

fn place(sequence: u32, i: u32) -> u32 {
  return sequence * PADDED + i + (i >> 4u);
}

/// exp(-2πi q / N); the barrier is that of the first transform.
fn fill_roots(local: u32) {
  for (var q = local; q < QUARTER; q += WORKGROUP) {
    let r = cosine_and_sine(q * (0x80000000u / (N / 2u)));
    roots[q] = vec2f(r.x, -r.y);
  }
}

/// ω^m for m = t + k · N / 4 with ω = exp(iπ / 2N), ω^N = i: the weight under which a cyclic convolution of N complex points gives
/// y[m] + i · y[m + N] of real sequences of up to N elements, all of their linear convolution (Nussbaumer's right-angle convolution).
fn weights_of(t: u32) -> Four {
  return Four(
    cosine_and_sine(t * (0x40000000u / N)),
    cosine_and_sine((t + QUARTER) * (0x40000000u / N)),
    cosine_and_sine((t + 2u * QUARTER) * (0x40000000u / N)),
    cosine_and_sine((t + 3u * QUARTER) * (0x40000000u / N)),
  );
}

fn butterfly(x: Four) -> Four {
  let s = x.a + x.c;
  let t = x.a - x.c;
  let u = x.b + x.d;
  let v = vec2f(x.b.y - x.d.y, x.d.x - x.b.x); // -i (b - d)
  return Four(s + u, t + v, s - u, t - v);
}

fn inverse_butterfly(x: Four) -> Four {
  let s = x.a + x.c;
  let t = x.a - x.c;
  let u = x.b + x.d;
  let v = vec2f(x.d.y - x.b.y, x.b.x - x.d.x); // i (b - d)
  return Four(s + u, t + v, s - u, t - v);
}

fn pair_butterflies(x: Four) -> Four {
  return Four(x.a + x.b, x.a - x.b, x.c + x.d, x.c - x.d);
}

fn store_four(sequence: u32, base: u32, step: u32, x: Four) {
  points[place(sequence, base)] = x.a;
  points[place(sequence, base + step)] = x.b;
  points[place(sequence, base + 2u * step)] = x.c;
  points[place(sequence, base + 3u * step)] = x.d;
}

fn load_four(sequence: u32, base: u32, step: u32) -> Four {
  return Four(
    points[place(sequence, base)],
    points[place(sequence, base + step)],
    points[place(sequence, base + 2u * step)],
    points[place(sequence, base + 3u * step)],
  );
}

/// Points t + k · N / 4 to the spectrum's elements 4t + k.
fn transform(sequence: u32, t: u32, points_of_t: Four) -> Four {
  var x = points_of_t;
  workgroupBarrier();
  var quarter = QUARTER;
  for (; quarter > 1u; ) {
    x = butterfly(x);
    let q = t & (quarter - 1u);
    let w = roots[q * (QUARTER / quarter)];
    let w2 = product(w, w);
    x = Four(x.a, product(x.b, w), product(x.c, w2), product(x.d, product(w2, w)));
    store_four(sequence, 4u * (t - q) + q, quarter, x);
    workgroupBarrier();
    quarter = quarter >> 2u;
    let step = max(quarter, 1u);
    let next = t & (step - 1u);
    x = load_four(sequence, 4u * (t - next) + next, step);
  }
  if (quarter == 0u) {
    return pair_butterflies(x);
  }
  return butterfly(x);
}

/// The reverse of `transform`, times N.
fn inverse_transform(sequence: u32, t: u32, spectrum: Four) -> Four {
  var x = spectrum;
  workgroupBarrier();
  var quarter = 1u;
#if ODD_POWER
  x = pair_butterflies(x);
  quarter = 2u;
#else
  x = inverse_butterfly(x);
  quarter = 4u;
#endif
  if (N == 4u) {
    return x;
  }
  var before = 1u;
  for (; quarter <= QUARTER; quarter = quarter << 2u) {
    let last = t & (before - 1u);
    store_four(sequence, 4u * (t - last) + last, before, x);
    workgroupBarrier();
    let q = t & (quarter - 1u);
    x = load_four(sequence, 4u * (t - q) + q, quarter);
    let w = roots[q * (QUARTER / quarter)];
    let w2 = product(w, w);
    x = inverse_butterfly(
      Four(x.a, conjugate_product(x.b, w), conjugate_product(x.c, w2), conjugate_product(x.d, product(w2, w))),
    );
    before = quarter;
  }
  return x;
}
