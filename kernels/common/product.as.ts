// A part of a product of plain (row-major) f32 matrices: blocks of b (and of a transposed a) are packed into scratch on the
// way, so that every caller decides for itself how threads share the result (common/gemm.as.ts).
import { multiplySweep } from "./gemm.as";
import { packFromColumns, packFromRows } from "./panels.as";
import { touchRows } from "./touch.as";
import { transposeBlock } from "./transpose.as";

/** Block of b packed at a time, in columns and depth: at most 1 MiB. */
const COLUMN_BLOCK: i32 = 512;
const DEPTH_SWEEP: i32 = 512;
/** Rows of a multiplied with it in one sweep (16 tiles of 6): 192 KiB of the level 2 cache. */
const ROW_BLOCK: i32 = 96;

/** Rows of b packed at a time. */
const STRIP: i32 = 8;

/**
 * out[firstRow..lastRow, firstColumn..lastColumn] of one product op(a) · op(b) + bias: a [rows, depth], or [depth, rows] when
 * transposeA; b [depth, columns], or [columns, depth] when transposeB; bias 0: none. Scratch as kernel `matmul` has it.
 */
export function multiplyRange(
  a: usize, transposeA: bool, b: usize, transposeB: bool, bias: usize, out: usize, scratch: usize,
  rows: i32, columns: i32, depth: i32, firstRow: i32, lastRow: i32, firstColumn: i32, lastColumn: i32,
): void {
  const packedA = scratch + (min(depth, DEPTH_SWEEP) * min(columns + 15 & -16, COLUMN_BLOCK) << 2);
  const outStride = <usize>columns << 2;
  // With few rows a packed float is used but a few times: one panel at a time stays in the level 1 cache.
  const block = lastRow - firstRow <= 16 ? 16 : COLUMN_BLOCK;
  for (let column = firstColumn; column < lastColumn; column += block) {
    const width = min(block, lastColumn - column);
    for (let k = 0; k < depth; k += DEPTH_SWEEP) {
      const steps = min(DEPTH_SWEEP, depth - k);
      packBlock(b, transposeB, columns, depth, column, width, k, steps, scratch);
      for (let row = firstRow; row < lastRow; row += ROW_BLOCK) {
        const height = min(ROW_BLOCK, lastRow - row);
        let blockA = a + (<usize>row * <usize>depth + k << 2);
        let strideA = <usize>depth << 2;
        if (transposeA) {
          blockA = packedA;
          // A cache line more than the depth, lest rows 2 KiB apart share their places in the level 1 cache.
          strideA = <usize>steps + 16 << 2;
          transposeBlock(a + (<usize>k * <usize>rows + row << 2), <usize>rows << 2, steps, height, packedA, strideA);
        } else if (column == firstColumn) {
          touchRows(blockA, strideA, height, <usize>steps << 2);
        }
        multiplySweep(
          blockA, strideA, height, scratch, steps, steps, k == 0, bias ? bias + (column << 2) : 0,
          out + (<usize>row * <usize>columns + column << 2), outStride, width,
        );
      }
    }
  }
}

/** Packs b's columns column.. (width of them) at depths k.. (steps of them) into panels of that depth. */
function packBlock(
  b: usize, transposeB: bool, columns: i32, depth: i32, column: i32, width: i32, k: i32, steps: i32, target: usize,
): void {
  if (transposeB) {
    for (let j = 0; j < width; j += 16) {
      const panel = target + (<usize>j * <usize>steps << 2);
      packFromRows(b + (<usize>(column + j) * <usize>depth + k << 2), depth, min(16, width - j), steps, panel);
    }
    return;
  }
  // All panels advance together, so that b is read in the order of memory.
  for (let step = 0; step < steps; step += STRIP) {
    const strip = min(STRIP, steps - step);
    const source = b + (<usize>(k + step) * <usize>columns + column << 2);
    for (let j = 0; j < width; j += 16) {
      packFromColumns(source + (j << 2), columns, min(16, width - j), strip, target + (<usize>j * <usize>steps + (step << 4) << 2));
    }
  }
}
