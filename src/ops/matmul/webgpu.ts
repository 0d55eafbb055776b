// Dispatch of matmul: tiles of the product where there are many rows, weight rows against few rows of x where there are
// few (few-rows.ts). Operands that no binding can hold are cut: rows of out, rows of a weight, or depth.
import { sizeOf } from "../../graph/shape.ts";
import {
  type Bound,
  type Emitter,
  type GpuLowering,
  type GpuTensor,
  PART_ALIGNMENT,
  part,
  read,
  type Storage,
  spread,
  storageBytes,
  update,
  write,
} from "../../runtime/webgpu/lowering.ts";
import { required } from "../types.ts";
import { emitFewRows, FEW_ROWS } from "./few-rows.ts";
import { type MatmulAttributes, productSizes } from "./op.ts";

/** out [batch, m, n] = a · b (+ bias); b [K, N] or [N, K] is one matrix or one per matrix of a. */
export interface GpuProduct extends MatmulAttributes {
  readonly a: GpuTensor;
  readonly b: GpuTensor;
  readonly bias: GpuTensor | undefined;
  readonly out: GpuTensor;
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

export const lower: GpuLowering<MatmulAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const a = required(inputs[0], "matmul a");
  const b = required(inputs[1], "matmul b");
  const out = required(outputs[0], "matmul output");
  const { leading, m = 1, n, k, shared } = productSizes(a.shape, b.shape, attributes);
  const batch = sizeOf(leading);
  const rows = shared && !attributes.transposeA ? { batch: 1, m: batch * m } : { batch, m };
  emitProduct({ a, b, bias: inputs[2], out, ...rows, n, k, ...attributes }, emit);
};

/** Elements first … first + count - 1 along one axis of the product, those that one dispatch sees. */
export interface Run {
  readonly first: number;
  readonly count: number;
}

interface Window {
  readonly m: Run;
  readonly n: Run;
  readonly k: Run;
  /** Elements before the matrices in each tensor, and how many matrices there are. */
  readonly matrix: number;
  readonly matrices: number;
}

/** Emits the product, in as many windows as bindings make necessary. */
export function emitProduct(product: GpuProduct, emit: Emitter): void {
  const { a, b, out, batch, m, n, k, transposeA, transposeB } = product;
  if (batch * m * n === 0) return;
  if (batch === 1 && m <= FEW_ROWS && transposeB && !transposeA) {
    emitFewRows({ x: a, weight: b, bias: product.bias, out, rows: m, n, k }, emit);
    return;
  }
  const rowsOf = (tensor: GpuTensor, width: number) => ({ storage: tensor.storage, width });
  const wide = [rowsOf(a, m * k), rowsOf(b, n * k), rowsOf(out, m * n)];
  const whole = wide.every(({ storage, width }) => storageBytes(storage, width) <= emit.device.maxBinding);
  const batches = whole ? runs(batch, wide, emit) : singles(batch);
  for (const { first: matrix, count: matrices } of batches) {
    for (const rows of runs(m, [rowsOf(out, n), ...(transposeA ? [] : [rowsOf(a, k)])], emit)) {
      for (const columns of runs(n, transposeB ? [rowsOf(b, k)] : [], emit)) {
        const depths = runs(k, [...(transposeA ? [rowsOf(a, m)] : []), ...(transposeB ? [] : [rowsOf(b, n)])], emit);
        for (const depth of depths) emitWindow(product, { m: rows, n: columns, k: depth, matrix, matrices }, emit);
      }
    }
  }
}

const singles = (count: number): Run[] => Array.from({ length: count }, (_, first) => ({ first, count: 1 }));

/** `total` rows cut so that no run of any operand, from where a part may start, is larger than a binding. */
export function runs(
  total: number,
  operands: readonly { readonly storage: Storage; readonly width: number }[],
  { device: { maxBinding } }: Emitter,
): Run[] {
  const most = operands.map(({ storage, width }) =>
    storageBytes(storage, total * width) <= maxBinding
      ? total
      : Math.floor((maxBinding - storageBytes(storage, PART_ALIGNMENT)) / storageBytes(storage, width)),
  );
  const count = Math.max(1, Math.min(total, ...most));
  return Array.from({ length: Math.max(1, Math.ceil(total / count)) }, (_, i) => ({
    first: i * count,
    count: Math.min(count, total - i * count),
  }));
}

export interface Tile {
  readonly TILE_M: number;
  readonly TILE_N: number;
  readonly TILE_K: number;
  readonly THREAD_M: number;
  readonly THREAD_N: number;
  /** Depths in the body of the innermost loop. */
  readonly UNROLL: number;
}

/** 64 threads with 4 × 4 sums each: many small workgroups, for products with few tiles. */
export const SMALL: Tile = { TILE_M: 32, TILE_N: 32, TILE_K: 32, THREAD_M: 4, THREAD_N: 4, UNROLL: 4 };
/** 64 threads with 8 × 8 sums each: a load from workgroup memory serves twice as many products. */
export const LARGE: Tile = { TILE_M: 64, TILE_N: 64, TILE_K: 16, THREAD_M: 8, THREAD_N: 8, UNROLL: 4 };
/** 256 threads with 4 × 4 sums each: fewer registers, more threads to hide latency with. */
const WIDE: Tile = { TILE_M: 64, TILE_N: 64, TILE_K: 16, THREAD_M: 4, THREAD_N: 4, UNROLL: 4 };

/** 256 threads with 8 × 8 sums each, all of the 16 KiB of workgroup memory that there are everywhere: half the reads of LARGE. */
const HUGE: Tile = { TILE_M: 128, TILE_N: 128, TILE_K: 16, THREAD_M: 8, THREAD_N: 8, UNROLL: 4 };

/** Workgroups that should be in flight before a larger tile or a whole depth pays. */
const ENOUGH_WORKGROUPS = 64;
/** Least depth of a split: below, adding up the partial sums costs more than what runs beside each other saves. */
const SPLIT_DEPTH = 256;
/** Most bytes of partial sums. */
const PARTIAL_BYTES = 64 << 20;

/** What a window's kernels see of an operand: a part of whole rows where it is cut, and strides within it. */
interface View {
  readonly bound: Bound;
  readonly first: number;
  readonly stride: number;
  readonly matrix: number;
}

/** Elements from `inner` on of rows `rows`, `width` elements each, of the window's matrices of `size` elements. */
function view(tensor: GpuTensor, window: Window, size: number, width: number, rows: Run, inner: number): View {
  const start = window.matrix * size + rows.first * width;
  const end = start + (window.matrices - 1) * size + rows.count * width;
  const strides = { stride: width, matrix: size };
  if (end - start === sizeOf(tensor.shape)) return { bound: tensor, first: inner, ...strides };
  const from = start - (start % PART_ALIGNMENT);
  return { bound: part(tensor, from, end - from), first: start - from + inner, ...strides };
}

function emitWindow(product: GpuProduct, window: Window, emit: Emitter): void {
  const { a, b, bias, out, m, n, k, transposeA, transposeB } = product;
  const sharedB = b.shape.length === 2;
  const viewA = transposeA
    ? view(a, window, m * k, m, window.k, window.m.first)
    : view(a, window, m * k, k, window.m, window.k.first);
  const windowB = sharedB ? { ...window, matrix: 0, matrices: 1 } : window;
  const viewB = transposeB
    ? view(b, windowB, n * k, k, window.n, window.k.first)
    : view(b, windowB, n * k, n, window.k, window.n.first);
  const viewOut = view(out, window, m * n, n, window.m, window.n.first);
  const sizes = { m: window.m.count, n: window.n.count, k: window.k.count, matrices: window.matrices };
  const tile = chooseTile(product, sizes, emit);
  const tilesM = Math.ceil(sizes.m / tile.TILE_M);
  const tilesN = Math.ceil(sizes.n / tile.TILE_N);
  const workgroups = tilesM * tilesN * sizes.matrices;
  const count = sizes.m * sizes.n * sizes.matrices;
  const { splits, depth } = chooseSplits(workgroups, sizes.k, tile.TILE_K, 4 * count, emit);
  const partial = splits > 1 ? emit.scratch(4 * splits * count) : undefined;
  // A later run of depths adds to what an earlier one left; the bias comes with the first.
  const later = window.k.first > 0;
  const inFours = ({ first, stride, matrix }: View, inner: number) =>
    [first, stride, matrix, inner].every((x) => x % 4 === 0);
  const VECTOR_A = inFours(viewA, transposeA ? sizes.m : sizes.k);
  const VECTOR_B = inFours(viewB, transposeB ? sizes.k : sizes.n);
  const VECTOR_OUT = inFours(viewOut, sizes.n);
  const finalOut = (later ? update : write)(viewOut.bound, VECTOR_OUT ? 4 : 1);
  const finalBias = later ? undefined : read(bias, VECTOR_OUT ? 4 : 1);
  const strides = partial && { first: 0, stride: sizes.n, matrix: sizes.m * sizes.n };
  const place = strides ?? viewOut;
  emit.dispatch({
    kernel: "matmul/tiled",
    constants: {
      ...tile,
      TRANSPOSE_A: transposeA,
      TRANSPOSE_B: transposeB,
      VECTOR_A,
      VECTOR_B,
      VECTOR_OUT,
      ACCUMULATE: later && !partial,
      GROUPED: 0,
    },
    uniforms: {
      m: sizes.m,
      n: sizes.n,
      k: sizes.k,
      batch: sizes.matrices,
      tiles_m: tilesM,
      tiles_n: tilesN,
      splits,
      split_depth: depth,
      a_first: viewA.first,
      a_stride: viewA.stride,
      a_matrix: viewA.matrix,
      b_first: viewB.first,
      b_stride: viewB.stride,
      b_matrix: sharedB ? 0 : viewB.matrix,
      out_first: place.first,
      out_stride: place.stride,
      out_matrix: place.matrix,
      out_split: count,
      bias_first: window.n.first,
    },
    bindings: {
      a: read(viewA.bound, VECTOR_A ? 4 : 1),
      b: read(viewB.bound, VECTOR_B ? 4 : 1),
      out: partial ? write(partial, VECTOR_OUT ? 4 : 1) : finalOut,
      bias: partial ? undefined : finalBias,
    },
    workgroups: spread(workgroups * splits),
    reason: `${tile.TILE_M} × ${tile.TILE_N} tiles, ${tile.THREAD_M} × ${tile.THREAD_N} a thread${splits > 1 ? `, depth in ${splits}` : ""}`,
  });
  if (partial === undefined) return;
  const WORKGROUP = 64;
  emit.dispatch({
    kernel: "matmul/sum_splits",
    constants: { WORKGROUP, VECTOR_OUT, ACCUMULATE: later },
    uniforms: {
      count,
      n: sizes.n,
      splits,
      out_first: viewOut.first,
      out_stride: viewOut.stride,
      bias_first: window.n.first,
    },
    bindings: { partial: read(partial, VECTOR_OUT ? 4 : 1), out: finalOut, bias: finalBias },
    workgroups: spread(Math.ceil(count / (VECTOR_OUT ? 4 : 1) / WORKGROUP)),
  });
}

interface Sizes {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly matrices: number;
}

function chooseTile({ transposeA, transposeB, b }: GpuProduct, { m, n, k, matrices }: Sizes, emit: Emitter): Tile {
  const tiles = (size: number) => Math.ceil(m / size) * Math.ceil(n / size) * matrices;
  // What is wasted beyond the edges, and too few workgroups, decide without measuring.
  if (m <= 32 || n <= 32 || tiles(64) * Math.max(1, Math.floor(k / SPLIT_DEPTH)) < ENOUGH_WORKGROUPS) return SMALL;
  // Rows that are time or batch come in many numbers: measured once for each power of two.
  const key = `${transposeA ? "T" : "N"}${transposeB ? "T" : "N"} ${[m, n, k].map(powerAbove).join("x")} ${b.storage}`;
  return emit.tuned(key, tiles(128) >= ENOUGH_WORKGROUPS ? [HUGE, LARGE, WIDE] : [LARGE, WIDE, SMALL]);
}

const powerAbove = (x: number): number => 2 ** Math.ceil(Math.log2(x));

/** Into how many ranges the depth is cut, so that enough workgroups run beside each other. */
function chooseSplits(workgroups: number, k: number, tileK: number, partialBytes: number, { device }: Emitter) {
  const room = Math.floor(Math.min(PARTIAL_BYTES, device.maxBinding) / partialBytes);
  const wanted = Math.min(Math.ceil(ENOUGH_WORKGROUPS / workgroups), Math.floor(k / SPLIT_DEPTH), room);
  if (wanted <= 1) return { splits: 1, depth: k };
  const depth = Math.ceil(k / wanted / tileK) * tileK;
  return { splits: Math.ceil(k / depth), depth };
}
