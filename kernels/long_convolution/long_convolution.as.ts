// long_convolution: u [B, T, D], K [D, T] -> y [B, T, D], causal, by Fourier transforms of n >= 2T points with a vector of
// four channels per point; two batch rows travel as one complex sequence. Short sequences are convolved directly. Work is
// split over (block of 16 channels, which is a cache line of each token, pair of rows); a thread transforms K once per block.
// long_convolution_gradient: dy correlated with K, and u with dy summed over the batch; split over blocks.
import { integer, pointer, shareStart } from "../common/args.as";
import {
  accumulatePoints, fillTwiddles, firstStage, forwardMiddle, forwardStages, inverseMiddle, inverseStages, lastStage,
  multiplyPoints, POINT,
} from "../common/fft.as";
import { loadLanes, storeLanes } from "../common/lanes.as";
import { convolveEight, correlateEight, PADDING } from "../common/toeplitz.as";

/** Twiddles of transforms of n points. args: table, n, scratch (64 bytes per thread). */
export function long_convolution_twiddles(args: usize, thread: i32, threads: i32): void {
  const n = integer(args, 1);
  const scratch = pointer(args, 2) + (<usize>thread << 6);
  fillTwiddles(pointer(args, 0), n, shareStart(n >> 2, thread, threads), shareStart(n >> 2, thread + 1, threads), scratch);
}

/** Four rows of K [D, T] (fewer: the others as zeros) as points [T][4], times `factor`. */
function gatherTaps(rows: usize, length: i32, lanes: i32, factor: f32, target: usize): void {
  const stride = <usize>length << 2;
  if (lanes < 4) memory.fill(target, 0, <usize>length << 4);
  for (let lane = 0; lane < lanes; lane++) {
    let to = target + (lane << 2);
    const end = rows + stride;
    for (let at = rows; at < end; at += 4, to += 16) store<f32>(to, load<f32>(at) * factor);
    rows += stride;
  }
}

/** Points, `step` bytes apart, to `lanes` rows of dK [D, T], times `factor`. */
function scatterTaps(source: usize, step: usize, length: i32, lanes: i32, factor: f32, rows: usize): void {
  const stride = <usize>length << 2;
  for (let lane = 0; lane < lanes; lane++) {
    let from = source + (lane << 2);
    const end = rows + stride;
    for (let at = rows; at < end; at += 4, from += step) store<f32>(at, load<f32>(from) * factor);
    rows += stride;
  }
}

/** Rows `stride` bytes apart of `width` channels, as sequences of vectors, one per four channels. */
function gatherRows(rows: usize, stride: usize, length: i32, width: i32, target: usize): void {
  const sequence = <usize>length << 4;
  for (let t = 0; t < length; t++) {
    let to = target;
    for (let c = 0; c < width; c += 4) {
      v128.store(to, loadLanes(rows + (c << 2), width - c));
      to += sequence;
    }
    rows += stride;
    target += 16;
  }
}

/** The reverse of `gatherRows`. */
function scatterRows(source: usize, stride: usize, length: i32, width: i32, rows: usize): void {
  const sequence = <usize>length << 4;
  for (let t = 0; t < length; t++) {
    let from = source;
    for (let c = 0; c < width; c += 4) {
      storeLanes(rows + (c << 2), v128.load(from), width - c);
      from += sequence;
    }
    rows += stride;
    source += 16;
  }
}

/** Up to 8 vectors to rows `stride` bytes apart. */
// @ts-ignore: decorator
@inline
function scatterEight(points: usize, rows: usize, stride: usize, count: i32, lanes: i32): void {
  for (let i = 0; i < min(count, 8); i++) {
    storeLanes(rows, v128.load(points), lanes);
    points += 16;
    rows += stride;
  }
}

/** The transform of two sequences, the second zeros if it is 0. */
// @ts-ignore: decorator
@inline
function transform(data: usize, n: i32, table: usize, real: usize, imaginary: usize, length: i32): void {
  firstStage(data, n, table, real, imaginary, length);
  forwardStages(data, n, table);
  forwardMiddle(data, n);
}

/** The first half of the inverse transform, times n. */
// @ts-ignore: decorator
@inline
function invert(data: usize, n: i32, table: usize, real: usize, imaginary: usize, length: i32): void {
  inverseMiddle(data, n);
  inverseStages(data, n, table);
  lastStage(data, n, table, real, imaginary, length);
}

/** Two rows (the second absent if `next` is 0) of up to 16 channels, through `rows` (2 × 16 channels) and `data`. */
function convolveTransformed(
  u: usize, y: usize, next: usize, stride: usize, length: i32, width: i32, n: i32, table: usize, kernels: usize, data: usize, rows: usize,
): void {
  const sequence = <usize>length << 4;
  const other = next ? sequence << 2 : 0;
  gatherRows(u, stride, length, width, rows);
  if (next) gatherRows(u + next, stride, length, width, rows + other);
  for (let c = 0; c < width; c += 4) {
    const at = rows + <usize>(c >> 2) * sequence;
    const second = next ? at + other : 0;
    transform(data, n, table, at, second, length);
    multiplyPoints(data, kernels + <usize>(c >> 2) * <usize>n * POINT, n, false);
    invert(data, n, table, at, second, length);
  }
  scatterRows(rows, stride, length, width, y);
  if (next) scatterRows(rows + other, stride, length, width, y + next);
}

/** One row of four channels. */
function convolveDirect(u: usize, y: usize, stride: usize, length: i32, width: i32, taps: usize, eight: usize): void {
  for (let t = 0; t < length; t += 8) {
    convolveEight(u, stride, width, taps, t, length, eight);
    scatterEight(eight, y + <usize>t * stride, stride, length - t, width);
  }
}

/** args: u, K, y, table (0: convolve directly), n, scratch, scratch bytes per thread, B, T, D, channels per item. */
export function long_convolution(args: usize, thread: i32, threads: i32): void {
  const u = pointer(args, 0);
  const kernel = pointer(args, 1);
  const y = pointer(args, 2);
  const table = pointer(args, 3);
  const n = integer(args, 4);
  const scratch = pointer(args, 5) + <usize>thread * integer(args, 6);
  const batch = integer(args, 7);
  const length = integer(args, 8);
  const channels = integer(args, 9);
  const most = integer(args, 10);
  const stride = <usize>channels << 2;
  const rowBytes = <usize>length * stride;
  const taps = scratch + 2 * PADDING;
  const rows = taps + (<usize>length << 4) + PADDING;
  const data = rows + (<usize>length << 7);
  const kernels = data + <usize>n * POINT;
  memory.fill(scratch, 0, 2 * PADDING);
  const pairs = (batch + 1) >> 1;
  const items = ((channels + most - 1) / most) * pairs;
  const end = shareStart(items, thread + 1, threads);
  let prepared = -1;
  for (let item = shareStart(items, thread, threads); item < end; item++) {
    const block = item / pairs;
    const first = block * most;
    const width = min(most, channels - first);
    const row = (item - block * pairs) << 1;
    const taken = kernel + ((<usize>first * length) << 2);
    if (block != prepared) {
      prepared = block;
      for (let c = 0; c < width; c += 4) {
        // 1 / n of the inverse transform goes into K.
        gatherTaps(taken + ((<usize>c * length) << 2), length, min(4, width - c), table ? <f32>1 / <f32>n : 1, taps);
        if (table) transform(kernels + <usize>(c >> 2) * <usize>n * POINT, n, table, taps, 0, length);
      }
    }
    const offset = <usize>row * rowBytes + (first << 2);
    const next = row + 1 < batch ? rowBytes : 0;
    if (table) {
      convolveTransformed(u + offset, y + offset, next, stride, length, width, n, table, kernels, data, rows);
      continue;
    }
    // The direct form has four channels per item.
    convolveDirect(u + offset, y + offset, stride, length, width, taps, scratch);
    if (next) convolveDirect(u + offset + next, y + offset + next, stride, length, width, taps, scratch);
  }
}

/** Direct gradients of four channels: du and, summed over the batch into `sum`, dK. */
function gradientDirect(
  u: usize, dy: usize, du: usize, dK: usize, taps: usize, points: usize, rows: usize, sum: usize, eight: usize,
  batch: i32, length: i32, stride: usize, lanes: i32,
): void {
  const rowBytes = <usize>length * stride;
  for (let row = 0; row < batch; row++) {
    gatherRows(dy, stride, length, lanes, rows);
    if (dK) gatherRows(u, stride, length, lanes, points);
    for (let t = 0; t < length; t += 8) {
      if (du) {
        correlateEight(rows, taps, t, length, eight);
        scatterEight(eight, du + <usize>t * stride, stride, length - t, lanes);
      }
      if (dK) {
        correlateEight(rows, points, t, length, eight);
        const to = sum + (t << 4);
        for (let i: usize = 0; i < PADDING; i += 16) v128.store(to + i, f32x4.add(v128.load(to + i), v128.load(eight + i)));
      }
    }
    u += rowBytes;
    dy += rowBytes;
    if (du) du += rowBytes;
  }
}

/** Gradients of up to 16 channels for one pair of rows; `rows` holds 4 × 16 channels, `data` 2 transforms, kernels and sums 4. */
function gradientTransformed(
  u: usize, dy: usize, du: usize, dK: usize, next: usize, stride: usize, length: i32, width: i32, n: i32, table: usize,
  kernels: usize, sums: usize, data: usize, rows: usize,
): void {
  const sequence = <usize>length << 4;
  const pointBytes = <usize>n * POINT;
  const other = next ? sequence << 2 : 0;
  const inputs = rows + (sequence << 3);
  gatherRows(dy, stride, length, width, rows);
  if (next) gatherRows(dy + next, stride, length, width, rows + other);
  if (dK) {
    gatherRows(u, stride, length, width, inputs);
    if (next) gatherRows(u + next, stride, length, width, inputs + other);
  }
  for (let c = 0; c < width; c += 4) {
    const quad = <usize>(c >> 2);
    const at = rows + quad * sequence;
    transform(data, n, table, at, next ? at + other : 0, length);
    if (dK) {
      const from = inputs + quad * sequence;
      transform(data + pointBytes, n, table, from, next ? from + other : 0, length);
      // The real part of the inverse of this sum is the sum of both rows' correlations.
      accumulatePoints(sums + quad * pointBytes, data, data + pointBytes, n);
    }
    if (du) {
      multiplyPoints(data, kernels + quad * pointBytes, n, true);
      invert(data, n, table, at, next ? at + other : 0, length);
    }
  }
  if (du) {
    scatterRows(rows, stride, length, width, du);
    if (next) scatterRows(rows + other, stride, length, width, du + next);
  }
}

/**
 * args: u, K, dy, du, dK (either 0: not wanted), table (0: directly), n, scratch, scratch bytes per thread, B, T, D, channels per
 * item.
 */
export function long_convolution_gradient(args: usize, thread: i32, threads: i32): void {
  const u = pointer(args, 0);
  const kernel = pointer(args, 1);
  const dy = pointer(args, 2);
  const du = pointer(args, 3);
  const dK = pointer(args, 4);
  const table = pointer(args, 5);
  const n = integer(args, 6);
  const scratch = pointer(args, 7) + <usize>thread * integer(args, 8);
  const batch = integer(args, 9);
  const length = integer(args, 10);
  const channels = integer(args, 11);
  const most = integer(args, 12);
  const stride = <usize>channels << 2;
  const rowBytes = <usize>length * stride;
  const sequence = <usize>length << 4;
  const pointBytes = <usize>n * POINT;
  const taps = scratch + 2 * PADDING;
  // Directly: u with its padding, dy, the sum. By transforms: dy and u of a pair, two transforms, kernels, sums.
  const points = taps + sequence + 2 * PADDING;
  const direct = points + sequence + PADDING;
  const data = points + (sequence << 4);
  const kernels = data + 2 * pointBytes;
  const sums = kernels + 4 * pointBytes;
  const items = (channels + most - 1) / most;
  const end = shareStart(items, thread + 1, threads);
  memory.fill(scratch, 0, 2 * PADDING);
  for (let item = shareStart(items, thread, threads); item < end; item++) {
    const first = item * most;
    const width = min(most, channels - first);
    const at = <usize>first << 2;
    const row = (<usize>first * length) << 2;
    for (let c = 0; du && c < width; c += 4) {
      gatherTaps(kernel + row + ((<usize>c * length) << 2), length, min(4, width - c), table ? <f32>1 / <f32>n : 1, taps);
      if (table) transform(kernels + <usize>(c >> 2) * pointBytes, n, table, taps, 0, length);
    }
    if (table == 0) {
      const sum = direct + sequence;
      memory.fill(points - PADDING, 0, PADDING);
      memory.fill(sum, 0, sequence + PADDING);
      gradientDirect(
        u + at, dy + at, du ? du + at : 0, dK, taps, points, direct, sum, scratch, batch, length, stride, width,
      );
      if (dK) scatterTaps(sum, 16, length, width, 1, dK + row);
      continue;
    }
    memory.fill(sums, 0, 4 * pointBytes);
    for (let b = 0; b < batch; b += 2) {
      const offset = <usize>b * rowBytes + at;
      gradientTransformed(
        u + offset, dy + offset, du ? du + offset : 0, dK, b + 1 < batch ? rowBytes : 0, stride, length, width, n, table,
        kernels, sums, data, points,
      );
    }
    for (let c = 0; dK && c < width; c += 4) {
      invert(sums + <usize>(c >> 2) * pointBytes, n, table, points, 0, length);
      scatterTaps(points, 16, length, min(4, width - c), <f32>1 / <f32>n, dK + row + ((<usize>c * length) << 2));
    }
  }
}
