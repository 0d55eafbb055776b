// Micro-kernels of attention for at most four rows of queries, as in decoding: channels are the lanes, rows are not
// transposed, and each key is loaded once, in order.
import { loadLanes } from "./lanes.as";
import { fma } from "./simd.as";

/** The sums of the lanes of four vectors, as one vector. */
// @ts-ignore: decorator
@inline
function sumEach(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(i32x4.shuffle(a, b, 0, 4, 1, 5), i32x4.shuffle(a, b, 2, 6, 3, 7));
  const cd = f32x4.add(i32x4.shuffle(c, d, 0, 4, 1, 5), i32x4.shuffle(c, d, 2, 6, 3, 7));
  return f32x4.add(i64x2.shuffle(ab, cd, 0, 2), i64x2.shuffle(ab, cd, 1, 3));
}

/**
 * For few rows, which are not transposed: out[j][0..4) = sum_c keys[j][c] rows[0..4)[c] for j < count. The four rows are
 * padded with zeros to whole vectors. Tile 2 keys × 4 rows, so that each key is loaded once, in order.
 */
export function scores4(keys: usize, stride: usize, count: i32, rows: usize, channels: i32, out: usize): void {
  const whole = <usize>(channels & ~3) << 2;
  const tail = channels & 3;
  const rowBytes = <usize>((channels + 3) & ~3) << 2;
  for (let j = 0; j < count; j += 2) {
    let x = keys;
    // A last odd key is computed twice.
    const second = j + 1 < count ? stride : 0;
    let y = keys + second;
    const end = x + whole;
    let p = rows;
    let q = rows + (rowBytes << 1);
    let a0 = f32x4.splat(0);
    let a1 = a0;
    let a2 = a0;
    let a3 = a0;
    let b0 = a0;
    let b1 = a0;
    let b2 = a0;
    let b3 = a0;
    while (x < end) {
      const s = v128.load(x);
      const t = v128.load(y);
      let r = v128.load(p);
      a0 = fma(s, r, a0);
      b0 = fma(t, r, b0);
      r = v128.load(p + rowBytes);
      a1 = fma(s, r, a1);
      b1 = fma(t, r, b1);
      r = v128.load(q);
      a2 = fma(s, r, a2);
      b2 = fma(t, r, b2);
      r = v128.load(q + rowBytes);
      a3 = fma(s, r, a3);
      b3 = fma(t, r, b3);
      x += 16;
      y += 16;
      p += 16;
      q += 16;
    }
    if (tail) {
      const s = loadLanes(x, tail);
      const t = loadLanes(y, tail);
      let r = v128.load(p);
      a0 = fma(s, r, a0);
      b0 = fma(t, r, b0);
      r = v128.load(p + rowBytes);
      a1 = fma(s, r, a1);
      b1 = fma(t, r, b1);
      r = v128.load(q);
      a2 = fma(s, r, a2);
      b2 = fma(t, r, b2);
      r = v128.load(q + rowBytes);
      a3 = fma(s, r, a3);
      b3 = fma(t, r, b3);
    }
    v128.store(out, sumEach(a0, a1, a2, a3));
    if (second == 0) return;
    v128.store(out, sumEach(b0, b1, b2, b3), 16);
    out += 32;
    keys += stride << 1;
  }
}

/** scores4 for a single row: out[j][0..4) are all sum_c keys[j][c] row[c]. Four keys at a time, limited by loads. */
export function scores1(keys: usize, stride: usize, count: i32, row: usize, channels: i32, out: usize): void {
  const whole = <usize>(channels & ~3) << 2;
  const tail = channels & 3;
  for (let j = 0; j < count; j += 4) {
    const left = count - j;
    // Keys past the last one repeat it.
    let x = keys;
    let y = left > 1 ? x + stride : x;
    let z = left > 2 ? y + stride : y;
    let w = left > 3 ? z + stride : z;
    const end = x + whole;
    let p = row;
    let a = f32x4.splat(0);
    let b = a;
    let c = a;
    let d = a;
    while (x < end) {
      const q = v128.load(p);
      a = fma(v128.load(x), q, a);
      b = fma(v128.load(y), q, b);
      c = fma(v128.load(z), q, c);
      d = fma(v128.load(w), q, d);
      x += 16;
      y += 16;
      z += 16;
      w += 16;
      p += 16;
    }
    if (tail) {
      const q = v128.load(p);
      a = fma(loadLanes(x, tail), q, a);
      b = fma(loadLanes(y, tail), q, b);
      c = fma(loadLanes(z, tail), q, c);
      d = fma(loadLanes(w, tail), q, d);
    }
    const sums = sumEach(a, b, c, d);
    v128.store(out, i32x4.shuffle(sums, sums, 0, 0, 0, 0));
    if (left > 1) v128.store(out, i32x4.shuffle(sums, sums, 1, 1, 1, 1), 16);
    if (left > 2) v128.store(out, i32x4.shuffle(sums, sums, 2, 2, 2, 2), 32);
    if (left > 3) v128.store(out, i32x4.shuffle(sums, sums, 3, 3, 3, 3), 48);
    out += 64;
    keys += stride << 2;
  }
}

/** `accumulate` (tiles.as.ts) for a single row: c[0..columns) = scale c + sum_k a[k] b[k], strides in bytes. */
export function accumulateRow(
  c: usize, columns: i32, scale: f32, a: usize, aStep: usize, b: usize, bStep: usize, count: i32,
): void {
  const factor = f32x4.splat(scale);
  let column = 0;
  for (; column + 16 <= columns; column += 16) {
    let c0 = f32x4.mul(factor, v128.load(c));
    let c1 = f32x4.mul(factor, v128.load(c, 16));
    let c2 = f32x4.mul(factor, v128.load(c, 32));
    let c3 = f32x4.mul(factor, v128.load(c, 48));
    let x = a;
    let y = b;
    for (let k = count; k > 0; k--) {
      const s = v128.load32_splat(x);
      c0 = fma(s, v128.load(y), c0);
      c1 = fma(s, v128.load(y, 16), c1);
      c2 = fma(s, v128.load(y, 32), c2);
      c3 = fma(s, v128.load(y, 48), c3);
      x += aStep;
      y += bStep;
    }
    v128.store(c, c0);
    v128.store(c, c1, 16);
    v128.store(c, c2, 32);
    v128.store(c, c3, 48);
    c += 64;
    b += 64;
  }
  for (; column < columns; column += 4) {
    let sum = f32x4.mul(factor, v128.load(c));
    let x = a;
    let y = b;
    for (let k = count; k > 0; k--) {
      sum = fma(v128.load32_splat(x), v128.load(y), sum);
      x += aStep;
      y += bStep;
    }
    v128.store(c, sum);
    c += 16;
    b += 16;
  }
}
