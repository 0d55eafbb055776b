// reduce: sum, sum of squares or maximum over the middle axis of x [outer, count, inner] -> [outer, inner]. The axis may
// be cut into `parts` so that all threads have work: the results [parts, outer, inner] are then reduced in order by a
// second launch. A unit of work is one part of one outer index; threads share the units.
import { integer, pointer, scalar, shareStart } from "../common/args.as";
import { loadLanes, storeLanes } from "../common/lanes.as";
import { dotRow, maxRow, sumPartials, sumRow } from "../common/rows.as";
import { fma } from "../common/simd.as";

const SUM: i32 = 0;
const SQUARES: i32 = 1;
const MAX: i32 = 2;

/** Columns of accumulators that stay in L1: 8 KiB. */
const TILE: i32 = 2048;

// @ts-ignore: decorator
@inline
function accumulate(fn: i32, total: v128, x: v128): v128 {
  if (fn == SUM) return f32x4.add(total, x);
  if (fn == SQUARES) return fma(x, x, total);
  return f32x4.max(total, x);
}

/** Sum or sum of squares of a row, blocks of 1024 elements added up in f64: long rows lose no digits. */
function total(fn: i32, x: usize, count: i32): f32 {
  let sum: f64 = 0;
  for (let start = 0; start < count; start += 1024) {
    const at = x + (<usize>start << 2);
    const size = min(1024, count - start);
    sum += <f64>(fn == SUM ? sumRow(at, size) : dotRow(at, at, size));
  }
  return <f32>sum;
}

/** target[c] = the reduction of rows 0 … count - 1 of x[.., c], `lanes` columns wide. */
// @ts-ignore: decorator
@inline
function column(fn: i32, x: usize, stride: usize, count: i32, target: usize, lanes: i32): void {
  let total = f32x4.splat(fn == MAX ? -Infinity : 0);
  for (let r = 0; r < count; r++, x += stride) total = accumulate(fn, total, loadLanes(x, lanes));
  storeLanes(target, total, lanes);
}

/** The reduction of `count` rows of `columns` elements, four rows at a time into accumulators kept at `target`. */
// @ts-ignore: decorator
@inline
function rowsInto(fn: i32, x: usize, stride: usize, count: i32, columns: i32, target: usize): void {
  const full = <usize>(columns & ~3) << 2;
  const rest = columns & 3;
  const start = f32x4.splat(fn == MAX ? -Infinity : 0);
  for (let at: usize = 0; at < full; at += 16) v128.store(target + at, start);
  let r = 0;
  let row = x;
  for (; r + 4 <= count; r += 4) {
    const row1 = row + stride;
    const row2 = row1 + stride;
    const row3 = row2 + stride;
    for (let at: usize = 0; at < full; at += 16) {
      let a = accumulate(fn, v128.load(target + at), v128.load(row + at));
      a = accumulate(fn, a, v128.load(row1 + at));
      a = accumulate(fn, a, v128.load(row2 + at));
      v128.store(target + at, accumulate(fn, a, v128.load(row3 + at)));
    }
    row = row3 + stride;
  }
  for (; r < count; r++, row += stride) {
    for (let at: usize = 0; at < full; at += 16) {
      v128.store(target + at, accumulate(fn, v128.load(target + at), v128.load(row + at)));
    }
  }
  if (rest) column(fn, x + full, stride, count, target + full, rest);
}

/**
 * args: [x, target, outer, count, inner, parts, fn, scale]. target: [parts, outer, inner], times `scale` where it is not 1.
 */
export function reduce(args: usize, thread: i32, threads: i32): void {
  const x = pointer(args, 0);
  const target = pointer(args, 1);
  const outer = integer(args, 2);
  const count = integer(args, 3);
  const inner = integer(args, 4);
  const parts = integer(args, 5);
  const fn = integer(args, 6);
  const scale = scalar(args, 7);
  const end = shareStart(outer * parts, thread + 1, threads);
  for (let unit = shareStart(outer * parts, thread, threads); unit < end; unit++) {
    const part = unit / outer;
    const o = unit - part * outer;
    const from = shareStart(count, part, parts);
    const size = shareStart(count, part + 1, parts) - from;
    const source = x + ((<usize>o * count + from) * inner << 2);
    const to = target + (<usize>unit * inner << 2);
    if (inner == 1) {
      store<f32>(to, fn == MAX ? maxRow(source, size) : total(fn, source, size));
    } else {
      const stride = <usize>inner << 2;
      for (let start = 0; start < inner; start += TILE) {
        const columns = min(TILE, inner - start);
        const x0 = source + (<usize>start << 2);
        const to0 = to + (<usize>start << 2);
        if (fn == SUM) rowsInto(SUM, x0, stride, size, columns, to0);
        else if (fn == MAX) rowsInto(MAX, x0, stride, size, columns, to0);
        else rowsInto(SQUARES, x0, stride, size, columns, to0);
      }
    }
    if (scale != 1) {
      for (let i = 0; i < inner; i++) store<f32>(to + (<usize>i << 2), load<f32>(to + (<usize>i << 2)) * scale);
    }
  }
}

/** args: [partials [parts, columns], target [columns], parts, columns]: their sum, in order. Threads share the columns. */
export function sum_partials(args: usize, thread: i32, threads: i32): void {
  const columns = integer(args, 3);
  const start = shareStart(columns, thread, threads);
  sumPartials(pointer(args, 0), pointer(args, 1), integer(args, 2), columns, start, shareStart(columns, thread + 1, threads));
}
