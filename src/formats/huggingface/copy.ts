// Moves rows between stored tensors and parameters, in either direction and in pieces, so that neither a checkpoint nor a
// model need be in memory as a whole.
import { bytesOf, dtypeBytes, type FloatDtype, fromFloat32, toFloat32, viewAs } from "../safetensors/dtype.ts";
import type { Part, StoredTensor } from "./plan.ts";

/** Rows of matrices by name. */
export interface RowSource {
  dtype(name: string): FloatDtype;
  /** Bytes of `count` rows of `columns` elements from row `first`, in memory that the caller may keep. */
  rows(name: string, first: number, count: number, columns: number): Promise<Uint8Array>;
}

/** Rows of parameters that are in memory. */
export function memoryRows(values: ReadonlyMap<string, Float32Array>): RowSource {
  return {
    dtype: () => "F32",
    rows: async (name, first, count, columns) => {
      const rows = values.get(name)?.subarray(first * columns, (first + count) * columns);
      return rows === undefined ? new Uint8Array() : bytesOf(rows);
    },
  };
}

/** A part of a parameter, and the tensor of the checkpoint that holds it under `name`. */
export interface Piece {
  readonly name: string;
  readonly tensor: StoredTensor;
  readonly part: Part;
}

/** Bytes moved at a time. */
const CHUNK_BYTES = 8 * 1024 * 1024;

/** Rows of `columns` elements of `bytes` each that are moved at a time. */
export function rowsPerChunk(columns: number, bytes: number): number {
  return Math.max(1, Math.floor(CHUNK_BYTES / Math.max(1, columns * bytes)));
}

/** Elements of another type, rounded to nearest where that is narrower. */
export function convert(bytes: Uint8Array, from: FloatDtype, to: FloatDtype): Uint8Array {
  if (from === to) return bytes;
  return bytesOf(fromFloat32(toFloat32(viewAs(bytes, from), from), to));
}

/** All rows of a parameter, in order, in pieces of type `to`. Its pieces must be in the order of their first rows. */
export async function* parameterRows(source: RowSource, pieces: readonly Piece[], to: FloatDtype) {
  for (const { name, tensor, part } of pieces) {
    const from = source.dtype(name);
    for await (const rows of partRows(source, name, tensor, part)) yield convert(rows, from, to);
  }
}

/** The rows of one part, read from the tensor that holds it. */
async function* partRows(
  source: RowSource,
  name: string,
  tensor: StoredTensor,
  part: Part,
): AsyncGenerator<Uint8Array> {
  const { columns, groups, transposed, parts } = tensor;
  const bytes = dtypeBytes(source.dtype(name));
  const before = parts.slice(0, parts.indexOf(part)).reduce((sum, { rows }) => sum + rows, 0);
  const total = parts.reduce((sum, { rows }) => sum + rows, 0);
  if (transposed === "whole") {
    const whole = await source.rows(name, 0, columns, total);
    yield transpose(whole, columns, total, bytes).subarray(
      before * columns * bytes,
      (before + part.rows) * columns * bytes,
    );
    return;
  }
  if (transposed === "each") {
    // The part fills as many elements as it has; as a stored matrix it is [columns, rows].
    yield transpose(await source.rows(name, before, part.rows, columns), columns, part.rows, bytes);
    return;
  }
  if (groups === 1) {
    const step = rowsPerChunk(columns, bytes);
    for (let done = 0; done < part.rows; done += step) {
      yield await source.rows(name, before + done, Math.min(step, part.rows - done), columns);
    }
    return;
  }
  const own = part.rows / groups;
  const all = total / groups;
  const step = rowsPerChunk(all * columns, bytes);
  for (let group = 0; group < groups; group += step) {
    const count = Math.min(step, groups - group);
    const block = await source.rows(name, group * all, count * all, columns);
    const out = new Uint8Array(count * own * columns * bytes);
    for (let g = 0; g < count; g++) {
      const start = (g * all + before / groups) * columns * bytes;
      out.set(block.subarray(start, start + own * columns * bytes), g * own * columns * bytes);
    }
    yield out;
  }
}

/** A stored tensor's bytes, in order and in pieces of type `to`, made of the rows of its parameters. */
export async function* storedBytes(
  source: RowSource,
  tensor: StoredTensor,
  to: FloatDtype,
): AsyncGenerator<Uint8Array> {
  const { columns, groups, transposed, parts } = tensor;
  const bytes = dtypeBytes(to);
  const read = async ({ parameter, first }: Part, start: number, count: number): Promise<Uint8Array> =>
    convert(await source.rows(parameter, first + start, count, columns), source.dtype(parameter), to);
  if (transposed === "whole") {
    const total = parts.reduce((sum, { rows }) => sum + rows, 0);
    const stacked = new Uint8Array(total * columns * bytes);
    let offset = 0;
    for (const part of parts) {
      stacked.set(await read(part, 0, part.rows), offset);
      offset += part.rows * columns * bytes;
    }
    yield transpose(stacked, total, columns, bytes);
    return;
  }
  if (transposed === "each") {
    for (const part of parts) yield transpose(await read(part, 0, part.rows), part.rows, columns, bytes);
    return;
  }
  if (groups === 1) {
    const step = rowsPerChunk(columns, bytes);
    for (const part of parts) {
      for (let done = 0; done < part.rows; done += step) yield await read(part, done, Math.min(step, part.rows - done));
    }
    return;
  }
  const all = parts.reduce((sum, { rows }) => sum + rows, 0) / groups;
  const step = rowsPerChunk(all * columns, bytes);
  for (let group = 0; group < groups; group += step) {
    const count = Math.min(step, groups - group);
    const out = new Uint8Array(count * all * columns * bytes);
    let before = 0;
    for (const part of parts) {
      const own = part.rows / groups;
      const rows = await read(part, group * own, count * own);
      for (let g = 0; g < count; g++) {
        const piece = rows.subarray(g * own * columns * bytes, (g + 1) * own * columns * bytes);
        out.set(piece, (g * all + before) * columns * bytes);
      }
      before += own;
    }
    yield out;
  }
}

/** A stored tensor made of parameters that are in memory. */
export async function storedValues(
  tensor: StoredTensor,
  values: ReadonlyMap<string, Float32Array>,
): Promise<Float32Array> {
  const out = new Float32Array(tensor.shape.reduce((product, length) => product * length, 1));
  let done = 0;
  for await (const bytes of storedBytes(memoryRows(values), tensor, "F32")) {
    bytesOf(out).set(bytes, done);
    done += bytes.byteLength;
  }
  return out;
}

/** [rows, columns] → [columns, rows], elements of `bytes` each. */
function transpose(matrix: Uint8Array, rows: number, columns: number, bytes: number): Uint8Array {
  const out = new Uint8Array(matrix.byteLength);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      for (let b = 0; b < bytes; b++) out[(j * rows + i) * bytes + b] = matrix[(i * columns + j) * bytes + b] ?? 0;
    }
  }
  return out;
}
