// Loops over one contiguous row of f32 that several ops share, exact at any length: sums, dot products
// and maxima, with four accumulators to hide the latency of the additions.
import { loadLanes, storeLanes } from "./lanes.as";
import { fma, sumLanes } from "./simd.as";

/** The largest of the four lanes. */
// @ts-ignore: decorator
@inline
export function maxLanes(x: v128): f32 {
  const pairs = f32x4.max(x, i32x4.shuffle(x, x, 2, 3, 0, 1));
  return max(f32x4.extract_lane(pairs, 0), f32x4.extract_lane(pairs, 1));
}

/** sum[i] = x[i] + y[i]; sum may be x or y. */
export function addRows(x: usize, y: usize, sum: usize, count: i32): void {
  const full = <usize>(count & ~3) << 2;
  for (let at: usize = 0; at < full; at += 16) v128.store(sum + at, f32x4.add(v128.load(x + at), v128.load(y + at)));
  const rest = count & 3;
  if (rest) storeLanes(sum + full, f32x4.add(loadLanes(x + full, rest), loadLanes(y + full, rest)), rest);
}

/** sum of x[i]. */
export function sumRow(x: usize, count: i32): f32 {
  let a = f32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  let at = x;
  const end = x + (count << 2);
  for (; at + 64 <= end; at += 64) {
    a = f32x4.add(a, v128.load(at));
    b = f32x4.add(b, v128.load(at, 16));
    c = f32x4.add(c, v128.load(at, 32));
    d = f32x4.add(d, v128.load(at, 48));
  }
  for (; at + 16 <= end; at += 16) a = f32x4.add(a, v128.load(at));
  if (at < end) b = f32x4.add(b, loadLanes(at, <i32>(end - at) >> 2));
  return sumLanes(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)));
}

/** sum of x[i] y[i]. */
export function dotRow(x: usize, y: usize, count: i32): f32 {
  let a = f32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  let at = x;
  const end = x + (count << 2);
  const other = y - x;
  for (; at + 64 <= end; at += 64) {
    a = fma(v128.load(at), v128.load(at + other), a);
    b = fma(v128.load(at, 16), v128.load(at + other, 16), b);
    c = fma(v128.load(at, 32), v128.load(at + other, 32), c);
    d = fma(v128.load(at, 48), v128.load(at + other, 48), d);
  }
  for (; at + 16 <= end; at += 16) a = fma(v128.load(at), v128.load(at + other), a);
  if (at < end) {
    const rest = <i32>(end - at) >> 2;
    b = fma(loadLanes(at, rest), loadLanes(at + other, rest), b);
  }
  return sumLanes(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)));
}

/** sum of (x[i] - center)^2. */
export function squaresAround(x: usize, count: i32, center: f32): f32 {
  const middle = f32x4.splat(center);
  let a = f32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  let at = x;
  const end = x + (count << 2);
  for (; at + 64 <= end; at += 64) {
    const x0 = f32x4.sub(v128.load(at), middle);
    const x1 = f32x4.sub(v128.load(at, 16), middle);
    const x2 = f32x4.sub(v128.load(at, 32), middle);
    const x3 = f32x4.sub(v128.load(at, 48), middle);
    a = fma(x0, x0, a);
    b = fma(x1, x1, b);
    c = fma(x2, x2, c);
    d = fma(x3, x3, d);
  }
  for (; at + 16 <= end; at += 16) {
    const x0 = f32x4.sub(v128.load(at), middle);
    a = fma(x0, x0, a);
  }
  let total = sumLanes(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)));
  for (; at < end; at += 4) {
    const x0 = load<f32>(at) - center;
    total += x0 * x0;
  }
  return total;
}

/** The largest x[i]; NaN if any is; -infinity of an empty row. */
export function maxRow(x: usize, count: i32): f32 {
  let a = f32x4.splat(-f32.MAX_VALUE * 2);
  let b = a;
  let c = a;
  let d = a;
  let at = x;
  const end = x + (count << 2);
  for (; at + 64 <= end; at += 64) {
    a = f32x4.max(a, v128.load(at));
    b = f32x4.max(b, v128.load(at, 16));
    c = f32x4.max(c, v128.load(at, 32));
    d = f32x4.max(d, v128.load(at, 48));
  }
  for (; at + 16 <= end; at += 16) a = f32x4.max(a, v128.load(at));
  let largest = maxLanes(f32x4.max(f32x4.max(a, b), f32x4.max(c, d)));
  for (; at < end; at += 4) largest = max(largest, load<f32>(at));
  return largest;
}

/** target[c] = sum over `parts` of partials[part][c], for columns [start, end), in order. */
export function sumPartials(partials: usize, target: usize, parts: i32, columns: i32, start: i32, end: i32): void {
  const stride = columns << 2;
  let column = start;
  for (; column + 4 <= end; column += 4) {
    let at = partials + (column << 2);
    let sum = v128.load(at);
    for (let part = 1; part < parts; part++) {
      at += stride;
      sum = f32x4.add(sum, v128.load(at));
    }
    v128.store(target + (column << 2), sum);
  }
  for (; column < end; column++) {
    let at = partials + (column << 2);
    let sum = load<f32>(at);
    for (let part = 1; part < parts; part++) {
      at += stride;
      sum += load<f32>(at);
    }
    store<f32>(target + (column << 2), sum);
  }
}
