// Fourier transforms of four channels at once: a point is (4 real parts, 4 imaginary parts), 32 bytes, so that no butterfly
// needs a shuffle. Forward transforms are decimation in frequency by radix 4, natural order in and digit-reversed order out;
// the inverse retraces them, so that pointwise products need no reordering. The sequences are real and zero from the middle
// on; two of them travel as real and imaginary part of one transform.
//
// A transform of n points is: first stage (reads the sequences), stages, middle butterflies of 4 or 2 points (whichever is
// left of n), and back. n is a power of two, at least 16. Twiddles: for j < n/4 the powers 1, 2, 3 of exp(-2πi j / n), 24
// bytes; a stage of length l takes every (n / l)-th.
import { sinCosPair } from "./math64.as";
import { fma, fnma } from "./simd.as";

export const POINT: usize = 32;
const TWIDDLE: usize = 24;

/** Fills the twiddles for j in [start, end); `scratch` has 48 bytes. */
export function fillTwiddles(table: usize, n: i32, start: i32, end: i32, scratch: usize): void {
  const unit = -6.283185307179586476925 / <f64>n;
  for (let j = start; j < end; j++) {
    const at = table + <usize>j * TWIDDLE;
    const angle = unit * <f64>j;
    sinCosPair(f64x2(angle, 2 * angle), scratch);
    store<f32>(at, <f32>load<f64>(scratch, 16));
    store<f32>(at, <f32>load<f64>(scratch), 4);
    store<f32>(at, <f32>load<f64>(scratch, 24), 8);
    store<f32>(at, <f32>load<f64>(scratch, 8), 12);
    sinCosPair(f64x2.splat(3 * angle), scratch);
    store<f32>(at, <f32>load<f64>(scratch, 16), 16);
    store<f32>(at, <f32>load<f64>(scratch), 20);
  }
}

/** Stores (re + i im) · w, w at `twiddle`, or its conjugate. */
// @ts-ignore: decorator
@inline
function storeProduct(at: usize, re: v128, im: v128, twiddle: usize): void {
  const wRe = v128.load32_splat(twiddle);
  const wIm = v128.load32_splat(twiddle, 4);
  v128.store(at, fnma(im, wIm, f32x4.mul(re, wRe)));
  v128.store(at, fma(im, wRe, f32x4.mul(re, wIm)), 16);
}

/**
 * The first stage: reads sequences `real` and `imaginary` of `length` vectors, n/4 < length <= n/2. The second sequence is
 * zeros if it is 0.
 */
export function firstStage(data: usize, n: i32, table: usize, real: usize, imaginary: usize, length: i32): void {
  const quarter = n >> 2;
  const leg = <usize>quarter * POINT;
  const far = <usize>quarter << 4;
  const zero = f32x4.splat(0);
  for (let j = 0; j < quarter; j++) {
    const later = j + quarter < length;
    const aRe = v128.load(real);
    const aIm = imaginary ? v128.load(imaginary) : zero;
    let bRe = zero;
    let bIm = zero;
    if (later) {
      bRe = v128.load(real + far);
      if (imaginary) bIm = v128.load(imaginary + far);
    }
    v128.store(data, f32x4.add(aRe, bRe));
    v128.store(data, f32x4.add(aIm, bIm), 16);
    storeProduct(data + leg, f32x4.add(aRe, bIm), f32x4.sub(aIm, bRe), table);
    storeProduct(data + 2 * leg, f32x4.sub(aRe, bRe), f32x4.sub(aIm, bIm), table + 8);
    storeProduct(data + 3 * leg, f32x4.sub(aRe, bIm), f32x4.add(aIm, bRe), table + 16);
    data += POINT;
    table += TWIDDLE;
    real += 16;
    if (imaginary) imaginary += 16;
  }
}

/** The stages between the first and the middle. */
export function forwardStages(data: usize, n: i32, table: usize): void {
  const end = data + <usize>n * POINT;
  for (let l = n >> 2; l > 4; l >>= 2) {
    const leg = <usize>(l >> 2) * POINT;
    const step = <usize>(n / l) * TWIDDLE;
    for (let block = data; block < end; block += 4 * leg) {
      let twiddle = table;
      for (let x = block; x < block + leg; x += POINT) {
        const y = x + 2 * leg;
        const x0 = v128.load(x);
        const x0i = v128.load(x, 16);
        const x1 = v128.load(x + leg);
        const x1i = v128.load(x + leg, 16);
        const x2 = v128.load(y);
        const x2i = v128.load(y, 16);
        const x3 = v128.load(y + leg);
        const x3i = v128.load(y + leg, 16);
        const a = f32x4.add(x0, x2);
        const ai = f32x4.add(x0i, x2i);
        const c = f32x4.add(x1, x3);
        const ci = f32x4.add(x1i, x3i);
        v128.store(x, f32x4.add(a, c));
        v128.store(x, f32x4.add(ai, ci), 16);
        storeProduct(y, f32x4.sub(a, c), f32x4.sub(ai, ci), twiddle + 8);
        const b = f32x4.sub(x0, x2);
        const bi = f32x4.sub(x0i, x2i);
        const d = f32x4.sub(x1, x3);
        const di = f32x4.sub(x1i, x3i);
        storeProduct(x + leg, f32x4.add(b, di), f32x4.sub(bi, d), twiddle);
        storeProduct(y + leg, f32x4.sub(b, di), f32x4.add(bi, d), twiddle + 16);
        twiddle += step;
      }
    }
  }
}

/** Whether the middle butterflies have 4 points (else 2). */
// @ts-ignore: decorator
@inline
function middleIsFour(n: i32): bool {
  return (ctz(n) & 1) == 0;
}

/** The middle butterflies, which end a forward transform. */
export function forwardMiddle(data: usize, n: i32): void {
  const end = data + <usize>n * POINT;
  if (middleIsFour(n)) {
    for (let x = data; x < end; x += 4 * POINT) {
      const x0 = v128.load(x);
      const x0i = v128.load(x, 16);
      const x1 = v128.load(x, 32);
      const x1i = v128.load(x, 48);
      const x2 = v128.load(x, 64);
      const x2i = v128.load(x, 80);
      const x3 = v128.load(x, 96);
      const x3i = v128.load(x, 112);
      const a = f32x4.add(x0, x2);
      const ai = f32x4.add(x0i, x2i);
      const c = f32x4.add(x1, x3);
      const ci = f32x4.add(x1i, x3i);
      v128.store(x, f32x4.add(a, c));
      v128.store(x, f32x4.add(ai, ci), 16);
      v128.store(x, f32x4.sub(a, c), 64);
      v128.store(x, f32x4.sub(ai, ci), 80);
      const b = f32x4.sub(x0, x2);
      const bi = f32x4.sub(x0i, x2i);
      const d = f32x4.sub(x1, x3);
      const di = f32x4.sub(x1i, x3i);
      v128.store(x, f32x4.add(b, di), 32);
      v128.store(x, f32x4.sub(bi, d), 48);
      v128.store(x, f32x4.sub(b, di), 96);
      v128.store(x, f32x4.add(bi, d), 112);
    }
  } else {
    for (let x = data; x < end; x += 2 * POINT) butterfly2(x);
  }
}

/** (x0, x1) becomes (x0 + x1, x0 - x1); twice is a multiplication by 2. */
// @ts-ignore: decorator
@inline
function butterfly2(x: usize): void {
  const x0 = v128.load(x);
  const x0i = v128.load(x, 16);
  const x1 = v128.load(x, 32);
  const x1i = v128.load(x, 48);
  v128.store(x, f32x4.add(x0, x1));
  v128.store(x, f32x4.add(x0i, x1i), 16);
  v128.store(x, f32x4.sub(x0, x1), 32);
  v128.store(x, f32x4.sub(x0i, x1i), 48);
}

/** The middle butterflies of the inverse. */
export function inverseMiddle(data: usize, n: i32): void {
  const end = data + <usize>n * POINT;
  if (middleIsFour(n)) {
    for (let x = data; x < end; x += 4 * POINT) {
      const x0 = v128.load(x);
      const x0i = v128.load(x, 16);
      const x2 = v128.load(x, 64);
      const x2i = v128.load(x, 80);
      const a = f32x4.add(x0, x2);
      const ai = f32x4.add(x0i, x2i);
      const c = f32x4.sub(x0, x2);
      const ci = f32x4.sub(x0i, x2i);
      const x1 = v128.load(x, 32);
      const x1i = v128.load(x, 48);
      const x3 = v128.load(x, 96);
      const x3i = v128.load(x, 112);
      const b = f32x4.add(x1, x3);
      const bi = f32x4.add(x1i, x3i);
      v128.store(x, f32x4.add(a, b));
      v128.store(x, f32x4.add(ai, bi), 16);
      v128.store(x, f32x4.sub(a, b), 64);
      v128.store(x, f32x4.sub(ai, bi), 80);
      // i (x1 - x3)
      const d = f32x4.sub(x3i, x1i);
      const di = f32x4.sub(x1, x3);
      v128.store(x, f32x4.add(c, d), 32);
      v128.store(x, f32x4.add(ci, di), 48);
      v128.store(x, f32x4.sub(c, d), 96);
      v128.store(x, f32x4.sub(ci, di), 112);
    }
  } else {
    for (let x = data; x < end; x += 2 * POINT) butterfly2(x);
  }
}

/** Real part of (re + i im) · conjugate of the twiddle. */
// @ts-ignore: decorator
@inline
function backRe(re: v128, im: v128, twiddle: usize): v128 {
  return fma(im, v128.load32_splat(twiddle, 4), f32x4.mul(re, v128.load32_splat(twiddle)));
}

// @ts-ignore: decorator
@inline
function backIm(re: v128, im: v128, twiddle: usize): v128 {
  return fnma(re, v128.load32_splat(twiddle, 4), f32x4.mul(im, v128.load32_splat(twiddle)));
}

/** The stages of the inverse between the middle and the last. */
export function inverseStages(data: usize, n: i32, table: usize): void {
  const end = data + <usize>n * POINT;
  for (let l = middleIsFour(n) ? 16 : 8; l < n; l <<= 2) {
    const leg = <usize>(l >> 2) * POINT;
    const step = <usize>(n / l) * TWIDDLE;
    for (let block = data; block < end; block += 4 * leg) {
      let twiddle = table;
      for (let x = block; x < block + leg; x += POINT) {
        const y = x + 2 * leg;
        let re = v128.load(x + leg);
        let im = v128.load(x + leg, 16);
        const x1 = backRe(re, im, twiddle);
        const x1i = backIm(re, im, twiddle);
        re = v128.load(y + leg);
        im = v128.load(y + leg, 16);
        const x3 = backRe(re, im, twiddle + 16);
        const x3i = backIm(re, im, twiddle + 16);
        const b = f32x4.add(x1, x3);
        const bi = f32x4.add(x1i, x3i);
        const d = f32x4.sub(x3i, x1i);
        const di = f32x4.sub(x1, x3);
        re = v128.load(y);
        im = v128.load(y, 16);
        const x2 = backRe(re, im, twiddle + 8);
        const x2i = backIm(re, im, twiddle + 8);
        const x0 = v128.load(x);
        const x0i = v128.load(x, 16);
        const a = f32x4.add(x0, x2);
        const ai = f32x4.add(x0i, x2i);
        v128.store(x, f32x4.add(a, b));
        v128.store(x, f32x4.add(ai, bi), 16);
        v128.store(y, f32x4.sub(a, b));
        v128.store(y, f32x4.sub(ai, bi), 16);
        const c = f32x4.sub(x0, x2);
        const ci = f32x4.sub(x0i, x2i);
        v128.store(x + leg, f32x4.add(c, d));
        v128.store(x + leg, f32x4.add(ci, di), 16);
        v128.store(y + leg, f32x4.sub(c, d));
        v128.store(y + leg, f32x4.sub(ci, di), 16);
        twiddle += step;
      }
    }
  }
}

/** The last stage of the inverse, for the first half of the points: writes both sequences (the second unless 0). */
export function lastStage(data: usize, n: i32, table: usize, real: usize, imaginary: usize, length: i32): void {
  const quarter = n >> 2;
  const leg = <usize>quarter * POINT;
  const far = <usize>quarter << 4;
  for (let j = 0; j < quarter; j++) {
    let re = v128.load(data + leg);
    let im = v128.load(data + leg, 16);
    const x1 = backRe(re, im, table);
    const x1i = backIm(re, im, table);
    re = v128.load(data + 3 * leg);
    im = v128.load(data + 3 * leg, 16);
    const x3 = backRe(re, im, table + 16);
    const x3i = backIm(re, im, table + 16);
    re = v128.load(data + 2 * leg);
    im = v128.load(data + 2 * leg, 16);
    const x2 = backRe(re, im, table + 8);
    const x2i = backIm(re, im, table + 8);
    const x0 = v128.load(data);
    const x0i = v128.load(data, 16);
    const later = j + quarter < length;
    v128.store(real, f32x4.add(f32x4.add(x0, x2), f32x4.add(x1, x3)));
    if (later) v128.store(real + far, f32x4.add(f32x4.sub(x0, x2), f32x4.sub(x3i, x1i)));
    if (imaginary) {
      v128.store(imaginary, f32x4.add(f32x4.add(x0i, x2i), f32x4.add(x1i, x3i)));
      if (later) v128.store(imaginary + far, f32x4.add(f32x4.sub(x0i, x2i), f32x4.sub(x1, x3)));
      imaginary += 16;
    }
    data += POINT;
    table += TWIDDLE;
    real += 16;
  }
}

/** z ← z · k, or z · conjugate(k), over `n` points. */
// @ts-ignore: decorator
@inline
export function multiplyPoints(z: usize, k: usize, n: i32, conjugate: bool): void {
  const end = z + <usize>n * POINT;
  for (; z < end; z += POINT) {
    const re = v128.load(z);
    const im = v128.load(z, 16);
    const kRe = v128.load(k);
    const kIm = v128.load(k, 16);
    if (conjugate) {
      v128.store(z, fma(im, kIm, f32x4.mul(re, kRe)));
      v128.store(z, fnma(re, kIm, f32x4.mul(im, kRe)), 16);
    } else {
      v128.store(z, fnma(im, kIm, f32x4.mul(re, kRe)));
      v128.store(z, fma(re, kIm, f32x4.mul(im, kRe)), 16);
    }
    k += POINT;
  }
}

/** sum ← sum + z · conjugate(k). */
export function accumulatePoints(sum: usize, z: usize, k: usize, n: i32): void {
  const end = z + <usize>n * POINT;
  for (; z < end; z += POINT) {
    const re = v128.load(z);
    const im = v128.load(z, 16);
    const kRe = v128.load(k);
    const kIm = v128.load(k, 16);
    v128.store(sum, fma(im, kIm, fma(re, kRe, v128.load(sum))));
    v128.store(sum, fnma(re, kIm, fma(im, kRe, v128.load(sum, 16))), 16);
    k += POINT;
    sum += POINT;
  }
}
