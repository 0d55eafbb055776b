// Writes safetensors: the header first, then one tensor after another, so that no more than one need be in memory.
import { bytesOf, DTYPES, type Dtype, dtypeBytes, holds } from "./dtype.ts";
import { SafetensorsError } from "./error.ts";
import { countElements, MAX_HEADER_BYTES, PREFIX_BYTES } from "./header.ts";
import type { ByteSink } from "./source.ts";

/** Pieces of a tensor's data in order, made when they are needed. */
export type TensorPieces = Iterable<ArrayBufferView> | AsyncIterable<ArrayBufferView>;

/** A tensor to be written: its elements at once, or a function that makes them piece by piece when its turn comes. */
export interface TensorToWrite {
  name: string;
  dtype: Dtype;
  /** Sizes, outermost first; empty for a scalar. */
  shape: readonly number[];
  /** Elements as stored (F16 and BF16 as their bits), or their bytes. */
  data: ArrayBufferView | (() => TensorPieces);
}

/**
 * Writes a whole file to `sink`. The widest types come first and the data begin at a multiple of eight, so that every
 * tensor is aligned; within a type, tensors are sorted by name. Equal content gives equal bytes, the same bytes that
 * the reference implementation writes.
 *
 * @param name of the file, for messages
 * Throws {@link SafetensorsError} when a tensor's data do not match its type and shape; nothing has been written when
 * that can be seen beforehand.
 */
export async function writeSafetensors(
  sink: ByteSink,
  tensors: Iterable<TensorToWrite>,
  metadata: Readonly<Record<string, string>> = {},
  name = "safetensors",
): Promise<void> {
  const ordered = [...tensors].sort(
    (a, b) => DTYPES.indexOf(a.dtype) - DTYPES.indexOf(b.dtype) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  );
  await sink.write(encodeHeader(ordered, metadata, name));
  for (const tensor of ordered) {
    const expected = byteLength(tensor, name);
    let written = 0;
    for await (const piece of typeof tensor.data === "function" ? tensor.data() : [tensor.data]) {
      if (!holds(piece, tensor.dtype)) throw wrongArray(tensor, piece, name);
      written += piece.byteLength;
      if (written > expected) break;
      await sink.write(bytesOf(piece));
    }
    if (written !== expected) throw wrongLength(tensor, written, expected, name);
  }
}

/** A whole safetensors file in memory. Errors as {@link writeSafetensors}. */
export async function encodeSafetensors(
  tensors: Iterable<TensorToWrite>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  const sink = { write: async (bytes: Uint8Array) => void pieces.push(bytes.slice()) };
  await writeSafetensors(sink, tensors, metadata);
  const out = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.byteLength, 0));
  let offset = 0;
  for (const piece of pieces) {
    out.set(piece, offset);
    offset += piece.byteLength;
  }
  return out;
}

function encodeHeader(
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>>,
  file: string,
): Uint8Array {
  // A map, because a tensor may be called "__proto__".
  const entries = new Map<string, unknown>();
  if (Object.keys(metadata).length > 0) entries.set("__metadata__", metadata);
  let offset = 0;
  for (const tensor of tensors) {
    const { name, dtype, shape, data } = tensor;
    if (name === "__metadata__") throw new SafetensorsError(file, "the name is reserved", { tensor: name });
    if (entries.has(name)) throw new SafetensorsError(file, "given twice", { tensor: name });
    const length = byteLength(tensor, file);
    if (typeof data !== "function") {
      if (!holds(data, dtype)) throw wrongArray(tensor, data, file);
      if (data.byteLength !== length) throw wrongLength(tensor, data.byteLength, length, file);
    }
    entries.set(name, { dtype, shape, data_offsets: [offset, offset + length] });
    offset += length;
  }
  const members = [...entries].map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
  const json = new TextEncoder().encode(`{${members.join(",")}}`);
  const padded = Math.ceil(json.byteLength / 8) * 8;
  if (padded > MAX_HEADER_BYTES) {
    throw new SafetensorsError(file, `a header of ${padded} bytes is over the allowed ${MAX_HEADER_BYTES}`);
  }
  const out = new Uint8Array(PREFIX_BYTES + padded).fill(0x20);
  new DataView(out.buffer).setBigUint64(0, BigInt(padded), true);
  out.set(json, PREFIX_BYTES);
  return out;
}

function byteLength({ name, dtype, shape }: TensorToWrite, file: string): number {
  const elements = countElements(shape, (problem) => {
    throw new SafetensorsError(file, problem, { tensor: name });
  });
  return elements * dtypeBytes(dtype);
}

function wrongArray({ name, dtype }: TensorToWrite, piece: ArrayBufferView, file: string): SafetensorsError {
  return new SafetensorsError(file, `a ${piece.constructor.name} does not hold ${dtype}`, { tensor: name });
}

function wrongLength({ name, dtype, shape }: TensorToWrite, found: number, expected: number, file: string) {
  const problem = `data have ${found < expected ? found : `at least ${found}`} bytes, but ${dtype} of shape [${shape}] takes ${expected}`;
  return new SafetensorsError(file, problem, { tensor: name });
}
