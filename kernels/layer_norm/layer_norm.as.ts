// layer_norm: x [rows, channels] -> y; backward: dy -> dx and per-thread partial sums of dweight and dbias, to be added
// in order by sum_partials. Threads share the rows; mean and variance are taken in two passes over a row in L1, so that
// a large mean does not cancel, and are recomputed in the backward pass.
import { integer, optional, pointer, scalar, shareStart } from "../common/args.as";
import { loadLanes, storeLanes } from "../common/lanes.as";
import { addRows, squaresAround, sumRow } from "../common/rows.as";
import { fma, fnma, sumLanes } from "../common/simd.as";

// @ts-ignore: decorator
@inline
function normalise(s: usize, weight: usize, bias: usize, y: usize, mean: v128, inverse: v128, lanes: i32): void {
  let value = f32x4.mul(f32x4.sub(loadLanes(s, lanes), mean), inverse);
  if (weight) value = f32x4.mul(value, loadLanes(weight, lanes));
  if (bias) value = f32x4.add(value, loadLanes(bias, lanes));
  storeLanes(y, value, lanes);
}

/**
 * args: [x, weight?, bias?, residual?, y, sum?, rows, channels, eps]. s = x + residual;
 * y = (s - mean) / sqrt(variance + eps) * weight + bias. y may be the memory of x or residual.
 */
export function layer_norm(args: usize, thread: i32, threads: i32): void {
  const x = pointer(args, 0);
  const weight = pointer(args, 1);
  const bias = pointer(args, 2);
  const residual = pointer(args, 3);
  const y = pointer(args, 4);
  const sum = pointer(args, 5);
  const rows = integer(args, 6);
  const channels = integer(args, 7);
  const eps = scalar(args, 8);
  const bytes = <usize>channels << 2;
  const full = bytes & ~15;
  const rest = channels & 3;
  const target = sum ? sum : y;
  const end = shareStart(rows, thread + 1, threads);
  for (let row = shareStart(rows, thread, threads); row < end; row++) {
    const base = <usize>row * bytes;
    let s = x + base;
    if (residual) {
      s = target + base;
      addRows(x + base, residual + base, s, channels);
    }
    const center: f32 = sumRow(s, channels) / <f32>channels;
    const mean = f32x4.splat(center);
    const inverse = f32x4.splat(1 / sqrt<f32>(squaresAround(s, channels, center) / <f32>channels + eps));
    const y0 = y + base;
    let at: usize = 0;
    if (weight != 0 && bias != 0) {
      for (; at < full; at += 16) normalise(s + at, weight + at, bias + at, y0 + at, mean, inverse, 4);
    } else {
      for (; at < full; at += 16) {
        normalise(s + at, optional(weight, at), optional(bias, at), y0 + at, mean, inverse, 4);
      }
    }
    if (rest) normalise(s + at, optional(weight, at), optional(bias, at), y0 + at, mean, inverse, rest);
  }
}

/** dx = inverse * (e - meanE - n * meanEN) + dsum with e = dy * weight; dweight += dy * n; dbias += dy. */
// @ts-ignore: decorator
@inline
function propagate(
  s: usize, weight: usize, dy: usize, dsum: usize, dx: usize, dweight: usize, dbias: usize,
  mean: v128, inverse: v128, meanE: v128, meanEN: v128, lanes: i32,
): void {
  const n = f32x4.mul(f32x4.sub(loadLanes(s, lanes), mean), inverse);
  const upstream = loadLanes(dy, lanes);
  if (dweight) storeLanes(dweight, fma(upstream, n, loadLanes(dweight, lanes)), lanes);
  if (dbias) storeLanes(dbias, f32x4.add(upstream, loadLanes(dbias, lanes)), lanes);
  if (dx) {
    const e = weight ? f32x4.mul(upstream, loadLanes(weight, lanes)) : upstream;
    const ds = f32x4.mul(inverse, fnma(n, meanEN, f32x4.sub(e, meanE)));
    storeLanes(dx, dsum ? f32x4.add(ds, loadLanes(dsum, lanes)) : ds, lanes);
  }
}

/**
 * args: [x, weight?, dy, dsum?, dx?, weightPartials?, biasPartials?, rows, channels, eps]. `x` is the sum where there
 * was a residual. Partials are [threads, channels]. dx may be the memory of x, dy or dsum.
 */
export function layer_norm_gradient(args: usize, thread: i32, threads: i32): void {
  const x = pointer(args, 0);
  const weight = pointer(args, 1);
  const dy = pointer(args, 2);
  const dsum = pointer(args, 3);
  const dx = pointer(args, 4);
  let dweight = pointer(args, 5);
  let dbias = pointer(args, 6);
  const rows = integer(args, 7);
  const channels = integer(args, 8);
  const eps = scalar(args, 9);
  const bytes = <usize>channels << 2;
  const full = bytes & ~15;
  const rest = channels & 3;
  if (dweight) {
    dweight += <usize>thread * bytes;
    memory.fill(dweight, 0, bytes);
  }
  if (dbias) {
    dbias += <usize>thread * bytes;
    memory.fill(dbias, 0, bytes);
  }
  const end = shareStart(rows, thread + 1, threads);
  for (let row = shareStart(rows, thread, threads); row < end; row++) {
    const base = <usize>row * bytes;
    const s = x + base;
    const dy0 = dy + base;
    const center: f32 = sumRow(s, channels) / <f32>channels;
    const mean = f32x4.splat(center);
    const inverse = f32x4.splat(1 / sqrt<f32>(squaresAround(s, channels, center) / <f32>channels + eps));
    let meanE = f32x4.splat(0);
    let meanEN = meanE;
    if (dx) {
      let at: usize = 0;
      if (weight) {
        let e1 = meanE;
        let en1 = meanE;
        for (; at + 32 <= bytes; at += 32) {
          const first = f32x4.mul(v128.load(dy0 + at), v128.load(weight + at));
          const second = f32x4.mul(v128.load(dy0 + at, 16), v128.load(weight + at, 16));
          meanE = f32x4.add(meanE, first);
          e1 = f32x4.add(e1, second);
          meanEN = fma(first, f32x4.sub(v128.load(s + at), mean), meanEN);
          en1 = fma(second, f32x4.sub(v128.load(s + at, 16), mean), en1);
        }
        meanE = f32x4.add(meanE, e1);
        meanEN = f32x4.add(meanEN, en1);
      }
      for (; at < bytes; at += 16) {
        const lanes = at < full ? 4 : rest;
        const upstream = loadLanes(dy0 + at, lanes);
        const e = weight ? f32x4.mul(upstream, loadLanes(weight + at, lanes)) : upstream;
        meanE = f32x4.add(meanE, e);
        meanEN = fma(e, f32x4.sub(loadLanes(s + at, lanes), mean), meanEN);
      }
      meanE = f32x4.splat(sumLanes(meanE) / <f32>channels);
      meanEN = f32x4.mul(f32x4.splat(sumLanes(meanEN) / <f32>channels), inverse);
    }
    const dsum0 = optional(dsum, base);
    const dx0 = optional(dx, base);
    let at: usize = 0;
    if (weight != 0 && dx0 != 0 && dweight != 0 && dbias != 0 && dsum0 == 0) {
      for (; at < full; at += 16) {
        propagate(s + at, weight + at, dy0 + at, 0, dx0 + at, dweight + at, dbias + at, mean, inverse, meanE, meanEN, 4);
      }
    }
    for (; at < full; at += 16) {
      propagate(s + at, optional(weight, at), dy0 + at, optional(dsum0, at), optional(dx0, at),
        optional(dweight, at), optional(dbias, at), mean, inverse, meanE, meanEN, 4);
    }
    if (rest) {
      propagate(s + at, optional(weight, at), dy0 + at, optional(dsum0, at), optional(dx0, at),
        optional(dweight, at), optional(dbias, at), mean, inverse, meanE, meanEN, rest);
    }
  }
}
