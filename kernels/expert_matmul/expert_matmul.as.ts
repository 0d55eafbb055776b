// expert_matmul: rows times the weights of the expert that each has chosen. Rows are copied together by expert (collect_rows),
// multiplied as dense products, expert after expert, and put back where they belong (return_rows). Threads split the columns
// of every product, so that they have equal work whatever was chosen; and the rows of copies.
import { integer, pointer, shareStart } from "../common/args.as";
import { multiplyPanels } from "../common/gemm.as";
import { panelCount } from "../common/panels.as";
import { multiplyRange } from "../common/product.as";

/** collected[p] = x[order[p] / per]. args: [x, order i32 [rows], collected, rows, width, per]. */
export function collect_rows(args: usize, thread: i32, threads: i32): void {
  const x = pointer(args, 0);
  const order = pointer(args, 1);
  const collected = pointer(args, 2);
  const rows = integer(args, 3);
  const bytes = <usize>integer(args, 4) << 2;
  const per = integer(args, 5);
  const end = shareStart(rows, thread + 1, threads);
  for (let p = shareStart(rows, thread, threads); p < end; p++) {
    memory.copy(collected + <usize>p * bytes, x + <usize>(load<i32>(order + (<usize>p << 2)) / per) * bytes, bytes);
  }
}

/** y[order[p]] = collected[p]. args: [collected, order i32 [rows], y, rows, width]. */
export function return_rows(args: usize, thread: i32, threads: i32): void {
  const collected = pointer(args, 0);
  const order = pointer(args, 1);
  const y = pointer(args, 2);
  const rows = integer(args, 3);
  const bytes = <usize>integer(args, 4) << 2;
  const end = shareStart(rows, thread + 1, threads);
  for (let p = shareStart(rows, thread, threads); p < end; p++) {
    memory.copy(y + <usize>load<i32>(order + (<usize>p << 2)) * bytes, collected + <usize>p * bytes, bytes);
  }
}

/**
 * Collected rows times plain weights. args: [x [rows, depth], weight, starts i32 [experts + 1], y [rows, columns], scratch,
 * scratchStride, experts, columns, depth, transposed]: the weight of an expert is [columns, depth], or [depth, columns]
 * when transposed; scratch as for kernel matmul with transposeB = !transposed.
 */
export function expert_matmul(args: usize, thread: i32, threads: i32): void {
  const x = pointer(args, 0);
  const weight = pointer(args, 1);
  const starts = pointer(args, 2);
  const y = pointer(args, 3);
  const scratch = pointer(args, 4) + <usize>thread * <usize>integer(args, 5);
  const experts = integer(args, 6);
  const columns = integer(args, 7);
  const depth = integer(args, 8);
  const transposed = integer(args, 9) != 0;
  const panels = panelCount(columns);
  const first = shareStart(panels, thread, threads) << 4;
  const last = min(columns, shareStart(panels, thread + 1, threads) << 4);
  if (first >= last) return;
  for (let expert = 0; expert < experts; expert++) {
    const start = load<i32>(starts + (<usize>expert << 2));
    const rows = load<i32>(starts + (<usize>expert << 2), 4) - start;
    if (rows == 0) continue;
    multiplyRange(
      x + (<usize>start * <usize>depth << 2), false, weight + (<usize>expert * <usize>columns * <usize>depth << 2), !transposed, 0,
      y + (<usize>start * <usize>columns << 2), scratch, rows, columns, depth, 0, rows, first, last,
    );
  }
}

/**
 * Collected rows times weights in panels, whose features are those of all experts one after the other (a multiple of 16 each).
 * args: [x [rows, depth], panels, starts i32 [experts + 1], y [rows, columns], experts, columns, depth].
 */
export function expert_matmul_panels(args: usize, thread: i32, threads: i32): void {
  const x = pointer(args, 0);
  const weight = pointer(args, 1);
  const starts = pointer(args, 2);
  const y = pointer(args, 3);
  const experts = integer(args, 4);
  const columns = integer(args, 5);
  const depth = integer(args, 6);
  const rowBytes = <usize>depth << 2;
  const panels = panelCount(columns);
  const first = shareStart(panels, thread, threads);
  const last = shareStart(panels, thread + 1, threads);
  if (first >= last) return;
  for (let expert = 0; expert < experts; expert++) {
    const start = load<i32>(starts + (<usize>expert << 2));
    const rows = load<i32>(starts + (<usize>expert << 2), 4) - start;
    if (rows == 0) continue;
    multiplyPanels(
      x + <usize>start * rowBytes, rowBytes, rows, weight + (<usize>expert * panels + first) * (rowBytes << 4), depth, 0,
      y + (<usize>start * <usize>columns + (first << 4) << 2), <usize>columns << 2, (last - first) << 4,
    );
  }
}

/**
 * The same for rows whose experts differ, each by itself where it lies: decoding, where reading the chosen weights is the limit.
 * args: [x, panels, indices i32 [rows], y [rows, columns], rows, per, experts, columns, depth].
 */
export function expert_rows_panels(args: usize, thread: i32, threads: i32): void {
  const x = pointer(args, 0);
  const weight = pointer(args, 1);
  const indices = pointer(args, 2);
  const y = pointer(args, 3);
  const rows = integer(args, 4);
  const per = integer(args, 5);
  const experts = integer(args, 6);
  const columns = integer(args, 7);
  const depth = integer(args, 8);
  const rowBytes = <usize>depth << 2;
  const panels = panelCount(columns);
  const first = shareStart(panels, thread, threads);
  const last = shareStart(panels, thread + 1, threads);
  if (first >= last) return;
  for (let row = 0; row < rows; row++) {
    const expert = min(max(load<i32>(indices + (<usize>row << 2)), 0), experts - 1);
    multiplyPanels(
      x + <usize>(row / per) * rowBytes, rowBytes, 1, weight + (<usize>expert * panels + first) * (rowBytes << 4), depth, 0,
      y + (<usize>row * <usize>columns + (first << 4) << 2), <usize>columns << 2, (last - first) << 4,
    );
  }
}

/**
 * dweight[expert] [n, k] = dyᵀ · x over the expert's rows; zeros where it has none. Threads split n, or k where that is more.
 * args: [x [rows, k], dy [rows, n], starts i32 [experts + 1], dweight, scratch, scratchStride, experts, n, k]: collected rows;
 * scratch as for kernel matmul with transposeA.
 */
export function expert_matmul_gradient(args: usize, thread: i32, threads: i32): void {
  const x = pointer(args, 0);
  const dy = pointer(args, 1);
  const starts = pointer(args, 2);
  const dweight = pointer(args, 3);
  const scratch = pointer(args, 4) + <usize>thread * <usize>integer(args, 5);
  const experts = integer(args, 6);
  const n = integer(args, 7);
  const k = integer(args, 8);
  const splitRows = n >= k;
  const units = splitRows ? (n + 3) >> 2 : panelCount(k);
  const unit = splitRows ? 4 : 16;
  const size = splitRows ? n : k;
  const from = shareStart(units, thread, threads) * unit;
  const to = min(size, shareStart(units, thread + 1, threads) * unit);
  if (from >= to) return;
  const firstRow = splitRows ? from : 0;
  const lastRow = splitRows ? to : n;
  const firstColumn = splitRows ? 0 : from;
  const lastColumn = splitRows ? k : to;
  for (let expert = 0; expert < experts; expert++) {
    const start = load<i32>(starts + (<usize>expert << 2));
    const rows = load<i32>(starts + (<usize>expert << 2), 4) - start;
    const out = dweight + (<usize>expert * <usize>n * <usize>k << 2);
    if (rows == 0) {
      for (let row = firstRow; row < lastRow; row++) {
        memory.fill(out + (<usize>row * <usize>k + firstColumn << 2), 0, <usize>(lastColumn - firstColumn) << 2);
      }
      continue;
    }
    multiplyRange(
      dy + (<usize>start * <usize>n << 2), true, x + (<usize>start * <usize>k << 2), false, 0, out, scratch,
      n, k, rows, firstRow, lastRow, firstColumn, lastColumn,
    );
  }
}
