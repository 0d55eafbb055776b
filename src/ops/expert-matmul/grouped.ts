// Dispatches of products whose rows choose their matrix, by the tiles of matmul (kernels/matmul/grouped.wgsl). Operands that no
// binding can hold are cut: weights between experts, activations between tokens.
import { sizeOf } from "../../graph/shape.ts";
import { RuntimeError } from "../../runtime/types.ts";
import {
  type Bound,
  type Emitter,
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
import { LARGE, type Run, runs, SMALL, type Tile } from "../matmul/webgpu.ts";
import { rowsPerInput } from "./op.ts";

export interface GpuRouting {
  readonly indices: GpuTensor;
  readonly order: GpuTensor;
  readonly starts: GpuTensor;
}

/** What of a tensor is bound, and where in it the first wanted element is. */
interface Window {
  readonly bound: Bound;
  readonly first: number;
  readonly whole: boolean;
}

/** `run` of the blocks of `size` elements that a tensor is made of, from where a part may start. */
function windowOf(tensor: GpuTensor, run: Run, size: number): Window {
  const start = run.first * size;
  const end = start + run.count * size;
  if (end - start === sizeOf(tensor.shape)) return { bound: tensor, first: 0, whole: true };
  const from = start - (start % PART_ALIGNMENT);
  return { bound: part(tensor, from, end - from), first: start - from, whole: false };
}

/** Experts in runs that fit in a binding. */
function expertRuns(tensor: GpuTensor, emit: Emitter): Run[] {
  const [experts = 1, n = 1, k = 1] = tensor.shape;
  const { storage } = tensor;
  const bytes = storageBytes(storage, n * k);
  const margin = experts > 1 ? storageBytes(storage, PART_ALIGNMENT) : 0;
  if (bytes + margin > emit.device.maxBinding) {
    throw new RuntimeError(
      `an expert's weights of [${n}, ${k}] take ${bytes} bytes; this device binds at most ${emit.device.maxBinding} at once`,
    );
  }
  return runs(experts, [{ storage, width: n * k }], emit);
}

/** Tokens in runs whose rows of every activation fit in a binding. */
function tokenRuns(activations: readonly GpuTensor[], indices: GpuTensor, emit: Emitter): Run[] {
  const tokens = sizeOf(indices.shape.slice(0, -1));
  const operand = (tensor: GpuTensor): { storage: Storage; width: number } => ({
    storage: tensor.storage,
    width: sizeOf(tensor.shape) / Math.max(1, tokens),
  });
  return runs(tokens, activations.map(operand), emit);
}

/** Rows that an expert may expect, from which on tiles of 64 are not mostly empty. */
const ROWS_FOR_LARGE = 48;

const inFours = (...numbers: readonly number[]): boolean => numbers.every((x) => x % 4 === 0);

/** y [rows, columns]: each row of x times the matrix of its expert, or that transposed. */
export function emitGrouped(
  { x, weight, y, transposed }: { x: GpuTensor; weight: GpuTensor; y: GpuTensor; transposed: boolean },
  { indices, order, starts }: GpuRouting,
  emit: Emitter,
): void {
  const [experts = 1, n = 1, k = 1] = weight.shape;
  const [columns, depth] = transposed ? [k, n] : [n, k];
  const choices = indices.shape.at(-1) ?? 1;
  const rows = sizeOf(indices.shape);
  const per = rowsPerInput(x, indices);
  const tile: Tile = rows / experts >= ROWS_FOR_LARGE && columns >= 64 ? LARGE : SMALL;
  const tilesN = Math.ceil(columns / tile.TILE_N);
  for (const tokens of tokenRuns([x, y], indices, emit)) {
    for (const some of expertRuns(weight, emit)) {
      const a = windowOf(x, tokens, (choices / per) * depth);
      const b = windowOf(weight, some, n * k);
      const out = windowOf(y, tokens, choices * columns);
      const tilesM = Math.floor(rows / tile.TILE_M) + some.count;
      const VECTOR_A = inFours(depth, a.first);
      const VECTOR_B = inFours(transposed ? columns : depth, b.first);
      const VECTOR_OUT = inFours(columns, out.first);
      const alone = out.whole && b.whole;
      emit.dispatch({
        kernel: "matmul/tiled",
        constants: {
          ...{ ...tile, TRANSPOSE_A: false, TRANSPOSE_B: !transposed, ACCUMULATE: false, GROUPED: 1 },
          ...{ VECTOR_A, VECTOR_B, VECTOR_OUT },
        },
        uniforms: {
          ...{ n: columns, k: depth, batch: some.count, tiles_m: tilesM, split_depth: depth },
          ...{ a_first: a.first, a_stride: depth, a_matrix: 0, a_per: per, a_window: (tokens.first * choices) / per },
          ...{ b_first: b.first, b_stride: k, b_matrix: n * k, first_expert: some.first },
          ...{ out_first: out.first, out_stride: columns, out_matrix: 0, out_split: 0 },
          ...{ window: tokens.first * choices, window_rows: tokens.count * choices },
        },
        bindings: {
          ...{ a: read(a.bound, VECTOR_A ? 4 : 1), b: read(b.bound, VECTOR_B ? 4 : 1), bias: undefined },
          // Each of several dispatches writes the rows of its experts.
          out: (alone ? write : update)(out.bound, VECTOR_OUT ? 4 : 1),
          ...{ order: read(order), starts: read(starts) },
        },
        workgroups: spread(tilesM * tilesN),
        reason: `${tile.TILE_M} × ${tile.TILE_N} tiles of rows sorted by expert`,
      });
    }
  }
}

/** dweight [experts, n, k] = dyᵀ · x over the rows of each expert. */
export function emitGroupedGradient(
  { x, dy, dweight }: { x: GpuTensor; dy: GpuTensor; dweight: GpuTensor },
  { indices, order, starts }: GpuRouting,
  emit: Emitter,
): void {
  const [, n = 1, k = 1] = dweight.shape;
  const choices = indices.shape.at(-1) ?? 1;
  const [perX, perDy] = [rowsPerInput(x, indices), rowsPerInput(dy, indices)];
  const tile: Tile = n >= 64 && k >= 64 ? LARGE : SMALL;
  const [tilesM, tilesN] = [Math.ceil(n / tile.TILE_M), Math.ceil(k / tile.TILE_N)];
  for (const some of expertRuns(dweight, emit)) {
    for (const tokens of tokenRuns([x, dy], indices, emit)) {
      const a = windowOf(dy, tokens, (choices / perDy) * n);
      const b = windowOf(x, tokens, (choices / perX) * k);
      const out = windowOf(dweight, some, n * k);
      const later = tokens.first > 0;
      const VECTOR_A = inFours(n, a.first);
      const VECTOR_B = inFours(k, b.first);
      const VECTOR_OUT = inFours(k, out.first);
      emit.dispatch({
        kernel: "matmul/tiled",
        constants: {
          ...{ ...tile, TRANSPOSE_A: true, TRANSPOSE_B: false, ACCUMULATE: later, GROUPED: 2 },
          ...{ VECTOR_A, VECTOR_B, VECTOR_OUT },
        },
        uniforms: {
          ...{ m: n, n: k, batch: some.count, tiles_m: tilesM, tiles_n: tilesN, splits: 1 },
          ...{ a_first: a.first, a_stride: n, a_matrix: 0, a_per: perDy, a_window: (tokens.first * choices) / perDy },
          ...{ b_first: b.first, b_stride: k, b_matrix: 0, b_per: perX, b_window: (tokens.first * choices) / perX },
          ...{ out_first: out.first, out_stride: k, out_matrix: n * k, out_split: 0, first_expert: some.first },
          ...{ window: tokens.first * choices, window_rows: tokens.count * choices },
        },
        bindings: {
          ...{ a: read(a.bound, VECTOR_A ? 4 : 1), b: read(b.bound, VECTOR_B ? 4 : 1), bias: undefined },
          out: (later ? update : write)(out.bound, VECTOR_OUT ? 4 : 1),
          ...{ order: read(order), starts: read(starts) },
        },
        workgroups: spread(tilesM * tilesN * some.count),
        reason: `${tile.TILE_M} × ${tile.TILE_N} tiles, each over the rows of an expert`,
      });
    }
  }
}
