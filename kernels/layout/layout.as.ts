// transpose, slice and concat: moving 32-bit words, whatever they mean.
import { integer, pointer, shareStart } from "../common/args.as";

/** Copies words forward; short rows do not pay for a call. */
// @ts-ignore: decorator
@inline
function copyWords(to: usize, from: usize, bytes: usize): void {
  if (bytes > 512) {
    memory.copy(to, from, bytes);
    return;
  }
  let at: usize = 0;
  for (; at + 16 <= bytes; at += 16) v128.store(to + at, v128.load(from + at));
  for (; at < bytes; at += 4) store<u32>(to + at, load<u32>(from + at));
}

/**
 * args: [source, source offset, target, target offset, rows, words per row, source stride, target stride], all but the
 * addresses in words. Threads share the words, so that a few long rows are split as well as many short ones.
 */
export function copy_rows(args: usize, thread: i32, threads: i32): void {
  const source = pointer(args, 0) + (<usize>integer(args, 1) << 2);
  const target = pointer(args, 2) + (<usize>integer(args, 3) << 2);
  const width = integer(args, 5);
  const sourceStride = <usize>integer(args, 6) << 2;
  const targetStride = <usize>integer(args, 7) << 2;
  const words = integer(args, 4) * width;
  let word = shareStart(words, thread, threads);
  const end = shareStart(words, thread + 1, threads);
  if (word >= end) return;
  let row = word / width;
  let column = word - row * width;
  while (word < end) {
    const run = min(width - column, end - word);
    const offset = <usize>column << 2;
    copyWords(target + <usize>row * targetStride + offset, source + <usize>row * sourceStride + offset, <usize>run << 2);
    word += run;
    row++;
    column = 0;
  }
}

/**
 * args: [source, target, rows, words per row, target stride, offset]: target row = `offset` zeros, the source's row,
 * zeros. Threads share the words of the target.
 */
export function embed_rows(args: usize, thread: i32, threads: i32): void {
  const source = pointer(args, 0);
  const target = pointer(args, 1);
  const width = integer(args, 3);
  const stride = integer(args, 4);
  const first = integer(args, 5);
  const last = first + width;
  const words = integer(args, 2) * stride;
  let word = shareStart(words, thread, threads);
  const end = shareStart(words, thread + 1, threads);
  while (word < end) {
    const row = word / stride;
    const column = word - row * stride;
    // The part of the row that ends next: zeros, source, zeros.
    const inside = column >= first && column < last;
    const run = min((column < first ? first : inside ? last : stride) - column, end - word);
    const to = target + (<usize>word << 2);
    if (inside) copyWords(to, source + (<usize>(row * width + column - first) << 2), <usize>run << 2);
    else memory.fill(to, 0, <usize>run << 2);
    word += run;
  }
}

/** A 4 x 4 block of words: target row j, lane i = source row i, lane j. */
// @ts-ignore: decorator
@inline
function transposeBlock(from: usize, sourceStride: usize, to: usize, targetStride: usize): void {
  const a = v128.load(from);
  const b = v128.load(from + sourceStride);
  const c = v128.load(from + 2 * sourceStride);
  const d = v128.load(from + 3 * sourceStride);
  const ab0 = i32x4.shuffle(a, b, 0, 4, 1, 5);
  const ab1 = i32x4.shuffle(a, b, 2, 6, 3, 7);
  const cd0 = i32x4.shuffle(c, d, 0, 4, 1, 5);
  const cd1 = i32x4.shuffle(c, d, 2, 6, 3, 7);
  v128.store(to, i64x2.shuffle(ab0, cd0, 0, 2));
  v128.store(to + targetStride, i64x2.shuffle(ab0, cd0, 1, 3));
  v128.store(to + 2 * targetStride, i64x2.shuffle(ab1, cd1, 0, 2));
  v128.store(to + 3 * targetStride, i64x2.shuffle(ab1, cd1, 1, 3));
}

/** A tile of a transposition: 16 words of the target (one cache line) by 64 of the source. */
const TILE: i32 = 16;
const WIDE: i32 = 64;

/**
 * args: [source, target, m, n, source stride, target stride, rank, batches, (size, source stride, target stride) …].
 * target[j * target stride + i] = source[i * source stride + j] for i < m, j < n; strides in words; the other `rank`
 * dimensions (innermost first), `batches` in all, are looped over. Threads share the tiles.
 */
export function transpose(args: usize, thread: i32, threads: i32): void {
  const m = integer(args, 2);
  const n = integer(args, 3);
  const sourceStride = <usize>integer(args, 4) << 2;
  const targetStride = <usize>integer(args, 5) << 2;
  const tiles = (m + TILE - 1) / TILE;
  const strips = (n + WIDE - 1) / WIDE;
  const units = integer(args, 7) * tiles * strips;
  const end = shareStart(units, thread + 1, threads);
  for (let unit = shareStart(units, thread, threads); unit < end; unit++) {
    const tile = unit / strips;
    const left = (unit - tile * strips) * WIDE;
    const right = min(left + WIDE, n);
    const batch = tile / tiles;
    const start = (tile - batch * tiles) * TILE;
    const stop = min(start + TILE, m);
    const source = pointer(args, 0) + batchOffset(args, batch, 1);
    const target = pointer(args, 1) + batchOffset(args, batch, 2);
    let j = left;
    for (; j + 4 <= right; j += 4) {
      const from = source + (<usize>j << 2);
      const to = target + <usize>j * targetStride;
      let i = start;
      for (; i + 4 <= stop; i += 4) {
        transposeBlock(from + <usize>i * sourceStride, sourceStride, to + (<usize>i << 2), targetStride);
      }
      for (; i < stop; i++) {
        for (let k: usize = 0; k < 4; k++) {
          store<u32>(to + k * targetStride + (<usize>i << 2), load<u32>(from + <usize>i * sourceStride + (k << 2)));
        }
      }
    }
    for (; j < right; j++) {
      for (let i = start; i < stop; i++) {
        store<u32>(target + <usize>j * targetStride + (<usize>i << 2), load<u32>(source + <usize>i * sourceStride + (<usize>j << 2)));
      }
    }
  }
}

/** Byte offset of a batch: `which` is 1 for the source, 2 for the target. */
function batchOffset(args: usize, batch: i32, which: i32): usize {
  const rank = integer(args, 6);
  let offset: usize = 0;
  for (let i = 0; i < rank; i++) {
    const size = integer(args, 8 + 3 * i);
    const next = batch / size;
    offset += <usize>(batch - next * size) * integer(args, 8 + 3 * i + which);
    batch = next;
  }
  return offset << 2;
}

/**
 * args: [source, target, words, rank, rows, (size, source stride) …]: the target's rows of `words` follow each other, the
 * source's lie where the index (innermost first) says; strides in words. Threads share the rows.
 */
export function permute_rows(args: usize, thread: i32, threads: i32): void {
  const source = pointer(args, 0);
  const bytes = <usize>integer(args, 2) << 2;
  const rank = integer(args, 3);
  const rows = integer(args, 4);
  const start = shareStart(rows, thread, threads);
  const end = shareStart(rows, thread + 1, threads);
  const inner = integer(args, 5);
  const step = <usize>integer(args, 6) << 2;
  let to = pointer(args, 1) + <usize>start * bytes;
  let row = start;
  while (row < end) {
    let index = row / inner;
    let column = row - index * inner;
    let from = source + <usize>column * step;
    for (let i = 1; i < rank; i++) {
      const size = integer(args, 5 + 2 * i);
      const next = index / size;
      from += <usize>((index - next * size) * integer(args, 6 + 2 * i)) << 2;
      index = next;
    }
    for (const stop = min(end, row + inner - column); row < stop; row++, from += step, to += bytes) copyWords(to, from, bytes);
  }
}
