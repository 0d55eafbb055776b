// gather: rows of a table [rows, width] by index; threads share the indices. Backward: each thread owns a range of
// columns and adds the rows of dy in the order of the indices, so the sum never depends on the number of threads.
import { integer, pointer, shareStart } from "../common/args.as";
import { gatherPanelFeature } from "../common/panels.as";

/** args: [table, indices i32, y, count, rows, width, panels (0 or 1)]. An index that is no row gives a row of NaN. */
export function gather(args: usize, thread: i32, threads: i32): void {
  const table = pointer(args, 0);
  const indices = pointer(args, 1);
  const y = pointer(args, 2);
  const count = integer(args, 3);
  const rows = integer(args, 4);
  const width = integer(args, 5);
  const packed = integer(args, 6);
  const bytes = <usize>width << 2;
  const end = shareStart(count, thread + 1, threads);
  for (let i = shareStart(count, thread, threads); i < end; i++) {
    const row = load<i32>(indices + (<usize>i << 2));
    const target = y + <usize>i * bytes;
    if (<u32>row >= <u32>rows) {
      for (let at: usize = 0; at < bytes; at += 4) store<f32>(target + at, NaN);
    } else if (packed) {
      gatherPanelFeature(table, width, row, target);
    } else {
      memory.copy(target, table + <usize>row * bytes, bytes);
    }
  }
}

/** args: [indices i32, dy, gradient, count, rows, width]. Adds row i of dy to gradient row indices[i]. */
export function gather_gradient(args: usize, thread: i32, threads: i32): void {
  const indices = pointer(args, 0);
  const dy = pointer(args, 1);
  const gradient = pointer(args, 2);
  const count = integer(args, 3);
  const rows = integer(args, 4);
  const width = integer(args, 5);
  const bytes = <usize>width << 2;
  // Whole cache lines per thread; the last one takes the odd columns.
  const lines = (width + 15) >> 4;
  const start = <usize>shareStart(lines, thread, threads) << 6;
  const end = min(<usize>shareStart(lines, thread + 1, threads) << 6, bytes);
  if (start >= end) return;
  for (let i = 0; i < count; i++) {
    const row = load<i32>(indices + (<usize>i << 2));
    if (<u32>row >= <u32>rows) continue;
    let from = dy + <usize>i * bytes + start;
    let to = gradient + <usize>row * bytes + start;
    const stop = to + (end - start);
    for (; to + 16 <= stop; to += 16, from += 16) v128.store(to, f32x4.add(v128.load(to), v128.load(from)));
    for (; to < stop; to += 4, from += 4) store<f32>(to, load<f32>(to) + load<f32>(from));
  }
}

/** args: [target, words]: fills with zeros. */
export function clear(args: usize, thread: i32, threads: i32): void {
  const words = integer(args, 1);
  const start = shareStart(words, thread, threads);
  memory.fill(pointer(args, 0) + (<usize>start << 2), 0, (shareStart(words, thread + 1, threads) - start) << 2);
}
