// Matrix products of plain (row-major) f32 operands: out[z] = op(a[z]) · op(b[z]) + bias, z < batch.
// args: [a, b, bias, out, scratch, batch, M, N, K, transposeA, transposeB, bStride, scratchStride]
//   a [batch, M, K], or [batch, K, M] when transposeA; b [K, N], or [N, K] when transposeB, the z-th one z * bStride
//   floats further (0: all share it); bias [N] or address 0; out [batch, M, N]; scratch: scratchStride bytes a
//   thread, 4 * (min(K, 512) * (min(N, 512) rounded up to 16) + (transposeA: 96 * (min(K, 512) + 16)))
//   (src/ops/matmul/wasm.ts).
// Threads split the rows or the columns of the result, whichever costs less, and each packs the blocks of b (and of a
// transposed a) that it needs into its own scratch: no barrier, and the same bits for every split (common/gemm.as.ts).
import { integer, pointer, shareStart } from "../common/args.as";
import { multiplyRange } from "../common/product.as";

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
