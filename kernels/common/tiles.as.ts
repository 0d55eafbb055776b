// Micro-kernels of attention, on one tile of keys and one panel of rows (queries). A panel holds 16 rows transposed,
// [channel][16], so that a SIMD lane is a row: maxima and sums over keys are then vertical, and keys and values are read
// where they lie. Score tiles are [key][row]. Inner loops are not unrolled: V8 moves every load of a loop body to its
// start, and with 8 accumulators a second round of loads no longer fits its registers (52 against 29 GFLOP/s).
// few_rows.as.ts has the same for at most 4 rows.
import { loadLanes } from "./lanes.as";
import { fma } from "./simd.as";

/**
 * Writes 16 rows of `channels` floats as a panel [channel][16], times `factor`. Row r of the panel is
 * at rows + ((first + r) / group) * outer + ((first + r) % group) * inner; rows from `count` on are written as zeros.
 */
export function packPanel(
  panel: usize, rows: usize, first: i32, count: i32, group: i32, outer: usize, inner: usize,
  channels: i32, factor: f32,
): void {
  const scale = f32x4.splat(factor);
  const step: usize = 64;
  for (let r = 0; r < 16; r += 4) {
    let to = panel + (r << 2);
    const left = count - r;
    if (left <= 0) {
      for (let c = 0; c < channels; c++, to += step) v128.store(to, f32x4.splat(0));
      continue;
    }
    const r0 = first + r;
    const r1 = left > 1 ? r0 + 1 : r0;
    const r2 = left > 2 ? r0 + 2 : r0;
    const r3 = left > 3 ? r0 + 3 : r0;
    let x0 = rows + <usize>(r0 / group) * outer + <usize>(r0 % group) * inner;
    let x1 = rows + <usize>(r1 / group) * outer + <usize>(r1 % group) * inner;
    let x2 = rows + <usize>(r2 / group) * outer + <usize>(r2 % group) * inner;
    let x3 = rows + <usize>(r3 / group) * outer + <usize>(r3 % group) * inner;
    // Rows past the last one repeat another row and are cleared by a mask (a product with zero would keep its NaN).
    const mask = i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(left));
    let c = 0;
    for (; c + 4 <= channels; c += 4) {
      const a = v128.load(x0);
      const b = v128.load(x1);
      const d = v128.load(x2);
      const e = v128.load(x3);
      const ab = i32x4.shuffle(a, b, 0, 4, 1, 5);
      const de = i32x4.shuffle(d, e, 0, 4, 1, 5);
      const ab2 = i32x4.shuffle(a, b, 2, 6, 3, 7);
      const de2 = i32x4.shuffle(d, e, 2, 6, 3, 7);
      v128.store(to, v128.and(mask, f32x4.mul(scale, i64x2.shuffle(ab, de, 0, 2))));
      v128.store(to + step, v128.and(mask, f32x4.mul(scale, i64x2.shuffle(ab, de, 1, 3))));
      to += step << 1;
      v128.store(to, v128.and(mask, f32x4.mul(scale, i64x2.shuffle(ab2, de2, 0, 2))));
      v128.store(to + step, v128.and(mask, f32x4.mul(scale, i64x2.shuffle(ab2, de2, 1, 3))));
      to += step << 1;
      x0 += 16;
      x1 += 16;
      x2 += 16;
      x3 += 16;
    }
    for (; c < channels; c++) {
      const x = f32x4(load<f32>(x0), load<f32>(x1), load<f32>(x2), load<f32>(x3));
      v128.store(to, v128.and(mask, f32x4.mul(scale, x)));
      to += step;
      x0 += 4;
      x1 += 4;
      x2 += 4;
      x3 += 4;
    }
  }
}

/**
 * The same rows, not transposed, times `factor`: [count][channels], each row padded with zeros to whole vectors; rows from
 * `count` up to `padded` are zeros.
 */
export function packRows(
  to: usize, padded: i32, rows: usize, first: i32, count: i32, group: i32, outer: usize, inner: usize,
  channels: i32, factor: f32,
): void {
  const stride = <usize>((channels + 3) & ~3) << 2;
  const scale = f32x4.splat(factor);
  for (let r = 0; r < padded; r++) {
    if (r >= count) {
      memory.fill(to, 0, stride);
    } else {
      const row = first + r;
      const from = rows + <usize>(row / group) * outer + <usize>(row % group) * inner;
      for (let c = 0; c < channels; c += 4) {
        v128.store(to + (c << 2), f32x4.mul(scale, loadLanes(from + (c << 2), channels - c)));
      }
    }
    to += stride;
  }
}

/** Copies `count` rows of `channels` floats, `stride` bytes apart, padding each with zeros to whole vectors. */
export function copyRows(to: usize, from: usize, stride: usize, count: i32, channels: i32): void {
  const toStride = <usize>((channels + 3) & ~3) << 2;
  for (let r = 0; r < count; r++) {
    for (let c = 0; c < channels; c += 4) v128.store(to + (c << 2), loadLanes(from + (c << 2), channels - c));
    from += stride;
    to += toStride;
  }
}

/** out[j][0..16) = sum_c keys[j][c] panel[c][0..16) for j < count; the rows of `out` are `outStride` bytes apart. Tile 2 keys × 16 rows. */
export function scores16(keys: usize, stride: usize, count: i32, panel: usize, channels: i32, out: usize, outStride: usize): void {
  const bytes = <usize>channels << 2;
  for (let j = 0; j < count; j += 2) {
    let x = keys;
    // A last odd key is computed twice.
    const second = j + 1 < count ? stride : 0;
    let y = keys + second;
    const end = x + bytes;
    let p = panel;
    let a0 = f32x4.splat(0);
    let a1 = a0;
    let a2 = a0;
    let a3 = a0;
    let b0 = a0;
    let b1 = a0;
    let b2 = a0;
    let b3 = a0;
    while (x < end) {
      const s = v128.load32_splat(x);
      const t = v128.load32_splat(y);
      let q = v128.load(p);
      a0 = fma(s, q, a0);
      b0 = fma(t, q, b0);
      q = v128.load(p, 16);
      a1 = fma(s, q, a1);
      b1 = fma(t, q, b1);
      q = v128.load(p, 32);
      a2 = fma(s, q, a2);
      b2 = fma(t, q, b2);
      q = v128.load(p, 48);
      a3 = fma(s, q, a3);
      b3 = fma(t, q, b3);
      x += 4;
      y += 4;
      p += 64;
    }
    v128.store(out, a0);
    v128.store(out, a1, 16);
    v128.store(out, a2, 32);
    v128.store(out, a3, 48);
    if (second == 0) return;
    out += outStride;
    v128.store(out, b0);
    v128.store(out, b1, 16);
    v128.store(out, b2, 32);
    v128.store(out, b3, 48);
    out += outStride;
    keys += stride << 1;
  }
}

/** One pair of rows of `accumulate`, 16 columns. */
// @ts-ignore: decorator
@inline
function accumulate2x16(
  c: usize, d: usize, scaleC: v128, scaleD: v128, a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, count: i32,
): void {
  let c0 = f32x4.mul(scaleC, v128.load(c));
  let c1 = f32x4.mul(scaleC, v128.load(c, 16));
  let c2 = f32x4.mul(scaleC, v128.load(c, 32));
  let c3 = f32x4.mul(scaleC, v128.load(c, 48));
  let d0 = f32x4.mul(scaleD, v128.load(d));
  let d1 = f32x4.mul(scaleD, v128.load(d, 16));
  let d2 = f32x4.mul(scaleD, v128.load(d, 32));
  let d3 = f32x4.mul(scaleD, v128.load(d, 48));
  let x = a;
  let y = a + aRow;
  let k = count;
  for (; k > 0; k--) {
    const s = v128.load32_splat(x);
    const t = v128.load32_splat(y);
    let q = v128.load(b);
    c0 = fma(s, q, c0);
    d0 = fma(t, q, d0);
    q = v128.load(b, 16);
    c1 = fma(s, q, c1);
    d1 = fma(t, q, d1);
    q = v128.load(b, 32);
    c2 = fma(s, q, c2);
    d2 = fma(t, q, d2);
    q = v128.load(b, 48);
    c3 = fma(s, q, c3);
    d3 = fma(t, q, d3);
    x += aStep;
    y += aStep;
    b += bStep;
  }
  v128.store(c, c0);
  v128.store(c, c1, 16);
  v128.store(c, c2, 32);
  v128.store(c, c3, 48);
  v128.store(d, d0);
  v128.store(d, d1, 16);
  v128.store(d, d2, 32);
  v128.store(d, d3, 48);
}

/** One pair of rows of `accumulate`, 4 columns, two interleaved sums per row. */
// @ts-ignore: decorator
@inline
function accumulate2x4(
  c: usize, d: usize, scaleC: v128, scaleD: v128, a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, count: i32,
): void {
  let c0 = f32x4.mul(scaleC, v128.load(c));
  let d0 = f32x4.mul(scaleD, v128.load(d));
  let c1 = f32x4.splat(0);
  let d1 = c1;
  let x = a;
  let y = a + aRow;
  let k = count;
  for (; k >= 2; k -= 2) {
    let q = v128.load(b);
    c0 = fma(v128.load32_splat(x), q, c0);
    d0 = fma(v128.load32_splat(y), q, d0);
    b += bStep;
    q = v128.load(b);
    c1 = fma(v128.load32_splat(x + aStep), q, c1);
    d1 = fma(v128.load32_splat(y + aStep), q, d1);
    x += aStep << 1;
    y += aStep << 1;
    b += bStep;
  }
  if (k > 0) {
    const q = v128.load(b);
    c0 = fma(v128.load32_splat(x), q, c0);
    d0 = fma(v128.load32_splat(y), q, d0);
  }
  v128.store(c, f32x4.add(c0, c1));
  v128.store(d, f32x4.add(d0, d1));
}

/**
 * c[r][0..columns) = scale[r] c[r] + sum_k a[r][k] b[k] for r < rows, k < count, with the strides of each in bytes and
 * `columns` a multiple of 4. scale is one float per row, or 0 for ones. Tile 2 rows × 16 columns.
 */
export function accumulate(
  c: usize, cStride: usize, rows: i32, columns: i32, scale: usize,
  a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, count: i32,
): void {
  let column = 0;
  for (; column + 16 <= columns; column += 16) {
    let target = c + (column << 2);
    let source = a;
    for (let r = 0; r < rows; r += 2) {
      // A last odd row is computed twice.
      const pair = r + 1 < rows ? 1 : 0;
      const next = pair ? cStride : 0;
      const scaleC = scale ? v128.load32_splat(scale + (r << 2)) : f32x4.splat(1);
      const scaleD = scale ? v128.load32_splat(scale + ((r + pair) << 2)) : f32x4.splat(1);
      accumulate2x16(target, target + next, scaleC, scaleD, source, pair ? aRow : 0, aStep, b + (column << 2), bStep, count);
      target += cStride << 1;
      source += aRow << 1;
    }
  }
  for (; column < columns; column += 4) {
    let target = c + (column << 2);
    let source = a;
    for (let r = 0; r < rows; r += 2) {
      const pair = r + 1 < rows ? 1 : 0;
      const next = pair ? cStride : 0;
      const scaleC = scale ? v128.load32_splat(scale + (r << 2)) : f32x4.splat(1);
      const scaleD = scale ? v128.load32_splat(scale + ((r + pair) << 2)) : f32x4.splat(1);
      accumulate2x4(target, target + next, scaleC, scaleD, source, pair ? aRow : 0, aStep, b + (column << 2), bStep, count);
      target += cStride << 1;
      source += aRow << 1;
    }
  }
}
