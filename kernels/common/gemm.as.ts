// The inner loops of every matrix product: c += a · panels, where `a` is rows contiguous in depth and `panels` is the
// layout of panels.as.ts. Tiles are 6 rows × 8 columns with fused multiply-add, 4 × 8 without, then what is left of the
// rows. 12 accumulators hide the latency of a multiply-add with slack, 8 only just; more registers than that spill in V8,
// and unrolling k halves the speed (docs/notes/matmul.md).
// Depth is summed in blocks of at most DEPTH_BLOCK, each from zero and in order of k, and the blocks are added in order,
// whatever the tile: an element's bits do not depend on how many rows are computed with it, or by how many threads.
import { fma } from "./simd.as";

/** Depth that is summed in registers: a panel of it is 16 KiB, half of the level 1 cache. */
export const DEPTH_BLOCK: i32 = 256;

// @ts-ignore: decorator
@inline
function loadPart(address: usize, count: i32): v128 {
  if (count == 1) return v128.load32_zero(address);
  const pair = v128.load64_zero(address);
  return count == 2 ? pair : v128.load32_lane(address + 8, pair, 2);
}

/** c = sum + addend for `count` columns (4 or more: all lanes; 0 or less: nothing); addend 0 is absent. */
function putPart(c: usize, sum: v128, addend: usize, count: i32): void {
  if (count >= 4) {
    v128.store(c, addend ? f32x4.add(v128.load(addend), sum) : sum);
    return;
  }
  if (count <= 0) return;
  if (addend) sum = f32x4.add(loadPart(addend, count), sum);
  if (count == 1) {
    v128.store32_lane(c, sum, 0);
  } else {
    v128.store64_lane(c, sum, 0);
    if (count == 3) v128.store32_lane(c + 8, sum, 2);
  }
}

/** One row of eight columns: the common case of whole vectors, else part by part. */
// @ts-ignore: decorator
@inline
function putRow8(c: usize, x: v128, y: v128, addend: usize, columns: i32): void {
  if (columns >= 8) {
    if (addend) {
      x = f32x4.add(v128.load(addend), x);
      y = f32x4.add(v128.load(addend, 16), y);
    }
    v128.store(c, x);
    v128.store(c, y, 16);
  } else {
    putPart(c, x, addend, columns);
    putPart(c + 16, y, addend ? addend + 16 : 0, columns - 4);
  }
}

/** 4 rows × 8 columns over `depth` steps. Strides in bytes; `addend` (0: none) is what the sums are added to. */
function tile4x8(
  a: usize, aStride: usize, panel: usize, depth: i32,
  c: usize, cStride: usize, addend: usize, addendStride: usize, columns: i32,
): void {
  let a0 = a;
  let a1 = a0 + aStride;
  let a2 = a1 + aStride;
  let a3 = a2 + aStride;
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0);
  let c30 = f32x4.splat(0), c31 = f32x4.splat(0);
  const end = a0 + (depth << 2);
  while (a0 < end) {
    const b0 = v128.load(panel);
    const b1 = v128.load(panel, 16);
    const x0 = v128.load32_splat(a0);
    c00 = fma(x0, b0, c00);
    c01 = fma(x0, b1, c01);
    const x1 = v128.load32_splat(a1);
    c10 = fma(x1, b0, c10);
    c11 = fma(x1, b1, c11);
    const x2 = v128.load32_splat(a2);
    c20 = fma(x2, b0, c20);
    c21 = fma(x2, b1, c21);
    const x3 = v128.load32_splat(a3);
    c30 = fma(x3, b0, c30);
    c31 = fma(x3, b1, c31);
    a0 += 4;
    a1 += 4;
    a2 += 4;
    a3 += 4;
    panel += 64;
  }
  putRow8(c, c00, c01, addend, columns);
  c += cStride;
  addend += addendStride;
  putRow8(c, c10, c11, addend, columns);
  c += cStride;
  addend += addendStride;
  putRow8(c, c20, c21, addend, columns);
  c += cStride;
  addend += addendStride;
  putRow8(c, c30, c31, addend, columns);
}

/**
 * 6 rows × 8 columns: 12 accumulators, 2 panel registers and one broadcast are V8's 15 registers exactly. Fused build only:
 * without fused multiply-add a product needs one more, and accumulators spill.
 */
function tile6x8(
  a: usize, aStride: usize, panel: usize, depth: i32,
  c: usize, cStride: usize, addend: usize, addendStride: usize, columns: i32,
): void {
  let a0 = a;
  let a1 = a0 + aStride;
  let a2 = a1 + aStride;
  let a3 = a2 + aStride;
  let a4 = a3 + aStride;
  let a5 = a4 + aStride;
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0);
  let c30 = f32x4.splat(0), c31 = f32x4.splat(0);
  let c40 = f32x4.splat(0), c41 = f32x4.splat(0);
  let c50 = f32x4.splat(0), c51 = f32x4.splat(0);
  const end = a0 + (depth << 2);
  while (a0 < end) {
    const b0 = v128.load(panel);
    const b1 = v128.load(panel, 16);
    const x0 = v128.load32_splat(a0);
    c00 = fma(x0, b0, c00);
    c01 = fma(x0, b1, c01);
    const x1 = v128.load32_splat(a1);
    c10 = fma(x1, b0, c10);
    c11 = fma(x1, b1, c11);
    const x2 = v128.load32_splat(a2);
    c20 = fma(x2, b0, c20);
    c21 = fma(x2, b1, c21);
    const x3 = v128.load32_splat(a3);
    c30 = fma(x3, b0, c30);
    c31 = fma(x3, b1, c31);
    const x4 = v128.load32_splat(a4);
    c40 = fma(x4, b0, c40);
    c41 = fma(x4, b1, c41);
    const x5 = v128.load32_splat(a5);
    c50 = fma(x5, b0, c50);
    c51 = fma(x5, b1, c51);
    a0 += 4;
    a1 += 4;
    a2 += 4;
    a3 += 4;
    a4 += 4;
    a5 += 4;
    panel += 64;
  }
  putRow8(c, c00, c01, addend, columns);
  c += cStride;
  addend += addendStride;
  putRow8(c, c10, c11, addend, columns);
  c += cStride;
  addend += addendStride;
  putRow8(c, c20, c21, addend, columns);
  c += cStride;
  addend += addendStride;
  putRow8(c, c30, c31, addend, columns);
  c += cStride;
  addend += addendStride;
  putRow8(c, c40, c41, addend, columns);
  c += cStride;
  addend += addendStride;
  putRow8(c, c50, c51, addend, columns);
}

/** 1 row × 16 columns: what is left of the rows, and decoding, where reading the weights is the limit. */
function tile1x16(a: usize, panel: usize, depth: i32, c: usize, addend: usize, columns: i32): void {
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0), c2 = f32x4.splat(0), c3 = f32x4.splat(0);
  const end = a + (depth << 2);
  while (a < end) {
    const x = v128.load32_splat(a);
    c0 = fma(x, v128.load(panel), c0);
    c1 = fma(x, v128.load(panel, 16), c1);
    c2 = fma(x, v128.load(panel, 32), c2);
    c3 = fma(x, v128.load(panel, 48), c3);
    a += 4;
    panel += 64;
  }
  putRow8(c, c0, c1, addend, columns);
  if (columns > 8) putRow8(c + 32, c2, c3, addend ? addend + 32 : 0, columns - 8);
}

/** 2 rows × 16 columns, for two or three rows left over. */
function tile2x16(
  a: usize, aStride: usize, panel: usize, depth: i32,
  c: usize, cStride: usize, addend: usize, addendStride: usize, columns: i32,
): void {
  let a0 = a;
  let a1 = a + aStride;
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0), c02 = f32x4.splat(0), c03 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0), c12 = f32x4.splat(0), c13 = f32x4.splat(0);
  const end = a0 + (depth << 2);
  while (a0 < end) {
    const x0 = v128.load32_splat(a0);
    const x1 = v128.load32_splat(a1);
    const b0 = v128.load(panel);
    c00 = fma(x0, b0, c00);
    c10 = fma(x1, b0, c10);
    const b1 = v128.load(panel, 16);
    c01 = fma(x0, b1, c01);
    c11 = fma(x1, b1, c11);
    const b2 = v128.load(panel, 32);
    c02 = fma(x0, b2, c02);
    c12 = fma(x1, b2, c12);
    const b3 = v128.load(panel, 48);
    c03 = fma(x0, b3, c03);
    c13 = fma(x1, b3, c13);
    a0 += 4;
    a1 += 4;
    panel += 64;
  }
  putRow8(c, c00, c01, addend, columns);
  if (columns > 8) putRow8(c + 32, c02, c03, addend ? addend + 32 : 0, columns - 8);
  c += cStride;
  addend += addendStride;
  putRow8(c, c10, c11, addend, columns);
  if (columns > 8) putRow8(c + 32, c12, c13, addend ? addend + 32 : 0, columns - 8);
}

/**
 * rows × columns (1 to 16) of c from one panel, over `depth` steps (at most DEPTH_BLOCK): c = addend + a · panel.
 * Strides in bytes; addend 0 is absent (its stride must be 0 then). In-place accumulation: addend = c, same stride.
 */
export function multiplyPanel(
  a: usize, aStride: usize, rows: i32, panel: usize, depth: i32,
  c: usize, cStride: usize, addend: usize, addendStride: usize, columns: i32,
): void {
  if (ASC_FEATURE_RELAXED_SIMD) {
    for (; rows >= 6; rows -= 6) {
      tile6x8(a, aStride, panel, depth, c, cStride, addend, addendStride, columns);
      if (columns > 8) {
        tile6x8(a, aStride, panel + 32, depth, c + 32, cStride, addend ? addend + 32 : 0, addendStride, columns - 8);
      }
      a += 6 * aStride;
      c += 6 * cStride;
      addend += 6 * addendStride;
    }
  }
  for (; rows >= 4; rows -= 4) {
    tile4x8(a, aStride, panel, depth, c, cStride, addend, addendStride, columns);
    if (columns > 8) {
      tile4x8(a, aStride, panel + 32, depth, c + 32, cStride, addend ? addend + 32 : 0, addendStride, columns - 8);
    }
    a += 4 * aStride;
    c += 4 * cStride;
    addend += 4 * addendStride;
  }
  if (rows >= 2) {
    tile2x16(a, aStride, panel, depth, c, cStride, addend, addendStride, columns);
    a += 2 * aStride;
    c += 2 * cStride;
    addend += 2 * addendStride;
    rows -= 2;
  }
  if (rows > 0) tile1x16(a, panel, depth, c, addend, columns);
}

/**
 * c[rows, columns] from `steps` of the depth (a multiple of DEPTH_BLOCK unless they are the last): c = bias + a · panels
 * when `first`, else c += a · panels. Each panel has `depth` rows; `panels` points at the first step of the first one,
 * `bias` (0: none) and `c` at their first column. Strides in bytes. Best when a's block fits the level 2 cache.
 */
export function multiplySweep(
  a: usize, aStride: usize, rows: i32, panels: usize, depth: i32, steps: i32, first: bool,
  bias: usize, c: usize, cStride: usize, columns: i32,
): void {
  const panelBytes = <usize>depth << 6;
  for (let column = 0; column < columns; column += 16) {
    const width = min(16, columns - column);
    let addend = first ? (bias ? bias + (column << 2) : 0) : c;
    let addendStride: usize = first ? 0 : cStride;
    for (let k = 0; k < steps; k += DEPTH_BLOCK) {
      const block = min(DEPTH_BLOCK, steps - k);
      multiplyPanel(a + (k << 2), aStride, rows, panels + (<usize>k << 6), block, c, cStride, addend, addendStride, width);
      addend = c;
      addendStride = cStride;
    }
    panels += panelBytes;
    c += 64;
  }
}

/** Rows of `a` between two sweeps over the panels: with DEPTH_SWEEP they are 384 KiB of the level 2 cache. */
const ROW_BLOCK: i32 = 96;
const DEPTH_SWEEP: i32 = 1024;

/**
 * c[rows, columns] = bias + a[rows, depth] · panels for whole packed panels (`panels` points at the first of them,
 * `bias` and `c` at their first column; bias 0: absent). Strides in bytes.
 */
export function multiplyPanels(
  a: usize, aStride: usize, rows: i32, panels: usize, depth: i32, bias: usize, c: usize, cStride: usize, columns: i32,
): void {
  // Few rows stay in cache whatever the depth: then each panel is read from end to end, in the order of memory.
  const sweep = rows <= 8 ? depth : DEPTH_SWEEP;
  for (let row = 0; row < rows; row += ROW_BLOCK) {
    const blockRows = min(ROW_BLOCK, rows - row);
    for (let k = 0; k < depth; k += sweep) {
      multiplySweep(
        a + <usize>row * aStride + (k << 2), aStride, blockRows, panels + (<usize>k << 6), depth, min(sweep, depth - k),
        k == 0, bias, c + <usize>row * cStride, cStride, columns,
      );
    }
  }
}
