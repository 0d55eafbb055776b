// Products of small row-major f32 matrices that fit in the caches, operands read where they lie. Rows of the result come
// in multiples of 4, columns in multiples of 8 (the caller pads). Tiles of 2 × 16: with 8 accumulators and 6 operands per
// step everything stays in V8's 15 registers; inner loops are not unrolled, since V8 would move all loads to the start.
import { fma } from "./simd.as";

/** Which part of a product is wanted, or which operand is zero above its diagonal. */
export const FULL = 0;
/** C is wanted up to its diagonal only: tiles beyond are left alone. */
export const LOWER_RESULT = 1;
/** A[i][k] is 0 for k > i. */
export const LOWER = 2;
/** A[i][k] is 0 for k < i. */
export const UPPER = 3;

/**
 * C[m][n] = base + A[m][k] B[k][n], where base is laid out like C, may be C, and 0 means zeros. A[i][j] lies at a + i * aRow + j * aColumn, so that a transposed A
 * only swaps strides; rows of B and C are contiguous, bRow and cRow bytes apart.
 */
export function multiply(
  c: usize, cRow: i32, base: usize, a: usize, aRow: i32, aColumn: i32, b: usize, bRow: i32,
  m: i32, n: i32, k: i32, shape: i32,
): void {
  const wide = n & ~15;
  for (let j = 0; j < wide; j += 16) {
    for (let i = shape == LOWER_RESULT ? j & ~1 : 0; i < m; i += 2) {
      const from = shape == UPPER ? i : 0;
      const to = shape == LOWER ? min(i + 2, k) : k;
      const row = a + i * aRow;
      tile2x16(
        c + i * cRow + (j << 2), cRow, base == 0 ? 0 : base + i * cRow + (j << 2), row + from * aColumn, row + to * aColumn, aRow, aColumn,
        b + from * bRow + (j << 2), bRow,
      );
    }
  }
  if (wide == n) return;
  for (let i = shape == LOWER_RESULT ? wide : 0; i < m; i += 4) {
    const from = shape == UPPER ? i : 0;
    const to = shape == LOWER ? min(i + 4, k) : k;
    const row = a + i * aRow;
    tile4x8(
      c + i * cRow + (wide << 2), cRow, base == 0 ? 0 : base + i * cRow + (wide << 2), row + from * aColumn, row + to * aColumn, aRow, aColumn,
      b + from * bRow + (wide << 2), bRow,
    );
  }
}

function tile2x16(
  c: usize, cRow: i32, base: usize, a: usize, aEnd: usize, aRow: i32, aColumn: i32, b: usize, bRow: i32,
): void {
  let c00 = f32x4.splat(0);
  let c01 = c00;
  let c02 = c00;
  let c03 = c00;
  let c10 = c00;
  let c11 = c00;
  let c12 = c00;
  let c13 = c00;
  const d = c + cRow;
  if (base != 0) {
    c00 = v128.load(base);
    c01 = v128.load(base, 16);
    c02 = v128.load(base, 32);
    c03 = v128.load(base, 48);
    base += cRow;
    c10 = v128.load(base);
    c11 = v128.load(base, 16);
    c12 = v128.load(base, 32);
    c13 = v128.load(base, 48);
  }
  let a1 = a + aRow;
  while (a != aEnd) {
    const x = v128.load_splat<f32>(a);
    const y = v128.load_splat<f32>(a1);
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const b2 = v128.load(b, 32);
    const b3 = v128.load(b, 48);
    c00 = fma(x, b0, c00);
    c10 = fma(y, b0, c10);
    c01 = fma(x, b1, c01);
    c11 = fma(y, b1, c11);
    c02 = fma(x, b2, c02);
    c12 = fma(y, b2, c12);
    c03 = fma(x, b3, c03);
    c13 = fma(y, b3, c13);
    a += aColumn;
    a1 += aColumn;
    b += bRow;
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  v128.store(c, c02, 32);
  v128.store(c, c03, 48);
  v128.store(d, c10);
  v128.store(d, c11, 16);
  v128.store(d, c12, 32);
  v128.store(d, c13, 48);
}

function tile4x8(
  c: usize, cRow: i32, base: usize, a: usize, aEnd: usize, aRow: i32, aColumn: i32, b: usize, bRow: i32,
): void {
  let c00 = f32x4.splat(0);
  let c01 = c00;
  let c10 = c00;
  let c11 = c00;
  let c20 = c00;
  let c21 = c00;
  let c30 = c00;
  let c31 = c00;
  if (base != 0) {
    c00 = v128.load(base);
    c01 = v128.load(base, 16);
    c10 = v128.load(base + cRow);
    c11 = v128.load(base + cRow, 16);
    c20 = v128.load(base + 2 * cRow);
    c21 = v128.load(base + 2 * cRow, 16);
    c30 = v128.load(base + 3 * cRow);
    c31 = v128.load(base + 3 * cRow, 16);
  }
  let a1 = a + aRow;
  let a2 = a1 + aRow;
  let a3 = a2 + aRow;
  while (a != aEnd) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const w = v128.load_splat<f32>(a);
    c00 = fma(w, b0, c00);
    c01 = fma(w, b1, c01);
    const x = v128.load_splat<f32>(a1);
    c10 = fma(x, b0, c10);
    c11 = fma(x, b1, c11);
    const y = v128.load_splat<f32>(a2);
    c20 = fma(y, b0, c20);
    c21 = fma(y, b1, c21);
    const z = v128.load_splat<f32>(a3);
    c30 = fma(z, b0, c30);
    c31 = fma(z, b1, c31);
    a += aColumn;
    a1 += aColumn;
    a2 += aColumn;
    a3 += aColumn;
    b += bRow;
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  v128.store(c + cRow, c10);
  v128.store(c + cRow, c11, 16);
  v128.store(c + 2 * cRow, c20);
  v128.store(c + 2 * cRow, c21, 16);
  v128.store(c + 3 * cRow, c30);
  v128.store(c + 3 * cRow, c31, 16);
}

/** to[j][i] = from[i][j], for rows and columns in multiples of 4; row strides in bytes. */
export function transpose(to: usize, toRow: i32, from: usize, fromRow: i32, rows: i32, columns: i32): void {
  for (let i = 0; i < rows; i += 4) {
    for (let j = 0; j < columns; j += 4) {
      const x = from + i * fromRow + (j << 2);
      const a = v128.load(x);
      const b = v128.load(x + fromRow);
      const c = v128.load(x + 2 * fromRow);
      const d = v128.load(x + 3 * fromRow);
      const ab = i32x4.shuffle(a, b, 0, 4, 1, 5);
      const cd = i32x4.shuffle(c, d, 0, 4, 1, 5);
      const ab2 = i32x4.shuffle(a, b, 2, 6, 3, 7);
      const cd2 = i32x4.shuffle(c, d, 2, 6, 3, 7);
      const y = to + j * toRow + (i << 2);
      v128.store(y, i64x2.shuffle(ab, cd, 0, 2));
      v128.store(y + toRow, i64x2.shuffle(ab, cd, 1, 3));
      v128.store(y + 2 * toRow, i64x2.shuffle(ab2, cd2, 0, 2));
      v128.store(y + 3 * toRow, i64x2.shuffle(ab2, cd2, 1, 3));
    }
  }
}
