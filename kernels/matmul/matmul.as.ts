// Matrix products of plain (row-major) f32 operands: out[z] = op(a[z]) · op(b[z]) + bias, z < batch.
// args: [a, b, bias, out, scratch, batch, M, N, K, transposeA, transposeB, bStride, scratchStride]
//   a [batch, M, K], or [batch, K, M] when transposeA; b [K, N], or [N, K] when transposeB, the z-th one z * bStride
//   floats further (0: all share it); bias [N] or address 0; out [batch, M, N]; scratch: scratchStride bytes a
//   thread, 4 * (min(K, 512) * (min(N, 512) rounded up to 16) + (transposeA: 96 * (min(K, 512) + 16)))
//   (src/ops/matmul/wasm.ts).
// Threads split the rows or the columns of the result, whichever costs less, and each packs the blocks of b (and of a
// transposed a) that it needs into its own scratch: no barrier, and the same bits for every split (common/gemm.as.ts).
import { integer, pointer, shareStart } from "../common/args.as";
import { multiplySweep } from "../common/gemm.as";
import { packFromColumns, packFromRows } from "../common/panels.as";
import { touchRows } from "../common/touch.as";
import { transposeBlock } from "../common/transpose.as";

/** Block of b packed at a time, in columns and depth: at most 1 MiB. */
const COLUMN_BLOCK: i32 = 512;
const DEPTH_SWEEP: i32 = 512;
/** Rows of a multiplied with it in one sweep (16 tiles of 6): 192 KiB of the level 2 cache. */
const ROW_BLOCK: i32 = 96;

/** Rows of b packed at a time. */
const STRIP: i32 = 8;

export function matmul(args: usize, thread: i32, threads: i32): void {
  const batch = integer(args, 5);
  const rows = integer(args, 6);
  const columns = integer(args, 7);
  const depth = integer(args, 8);
  const transposeA = integer(args, 9) != 0;
  const transposeB = integer(args, 10) != 0;
  const bStride = integer(args, 11);
  const scratch = pointer(args, 4) + <usize>thread * <usize>integer(args, 12);
  const groups = (rows + 3) >> 2;
  const panels = (columns + 15) >> 4;

  // Multiply-adds of the slowest thread for either split; packing a float costs about as much as 6 of them. When
  // rows are split every thread packs all of b, when columns are split all of a.
  const share = <f32>threads;
  const packA: f32 = transposeA ? 6 * <f32>rows : 0;
  const packB: f32 = 6 * <f32>columns;
  const products = <f32>batch;
  const byRows = Mathf.ceil(products * <f32>groups / share) * 4 * <f32>columns + products * (packB + packA / share);
  const byColumns = Mathf.ceil(products * <f32>panels / share) * 16 * <f32>rows + products * (packB / share + packA);

  const splitRows = byRows < byColumns;
  const units = splitRows ? groups : panels;
  let unit = shareStart(batch * units, thread, threads);
  const end = shareStart(batch * units, thread + 1, threads);
  while (unit < end) {
    const z = unit / units;
    const from = unit - z * units;
    const to = min(units, from + end - unit);
    unit += to - from;
    const a = pointer(args, 0) + (<usize>z * <usize>rows * <usize>depth << 2);
    const b = pointer(args, 1) + (<usize>z * <usize>bStride << 2);
    const out = pointer(args, 3) + (<usize>z * <usize>rows * <usize>columns << 2);
    multiplyRange(
      a, transposeA, b, transposeB, pointer(args, 2), out, scratch, rows, columns, depth,
      splitRows ? from << 2 : 0, splitRows ? min(rows, to << 2) : rows,
      splitRows ? 0 : from << 4, splitRows ? columns : min(columns, to << 4),
    );
  }
}

/** out[firstRow..lastRow, firstColumn..lastColumn] of one product. */
function multiplyRange(
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
