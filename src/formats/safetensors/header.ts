// The header of a safetensors file: eight bytes of length, then JSON that names every tensor's type, shape and place.
// Everything is checked before a tensor is touched. Format: https://huggingface.co/docs/safetensors.
import { DTYPES, type Dtype, dtypeBytes, isDtype } from "./dtype.ts";
import { duplicateKey } from "./duplicate-keys.ts";
import { quote, SafetensorsError } from "./error.ts";

/** Largest header that is read, in bytes; the reference implementation has the same limit. */
export const MAX_HEADER_BYTES = 100_000_000;

/** Bytes before the header: its length as an unsigned 64-bit integer. */
export const PREFIX_BYTES = 8;

/** What the header says about one tensor. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: Dtype;
  /** Sizes, outermost first; empty for a scalar. */
  readonly shape: readonly number[];
  /** Number of elements. */
  readonly elements: number;
  /** Position of the first byte in the file. */
  readonly offset: number;
  readonly byteLength: number;
}

/** A checked header. */
export interface SafetensorsHeader {
  /** In the order of the header. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Readonly<Record<string, string>>;
  /** Position in the file where the data begin. */
  readonly dataOffset: number;
}

/**
 * The header's length from the first bytes of a file.
 *
 * @param prefix the first eight bytes, or fewer when the file is shorter
 * @param size bytes in the whole file
 */
export function headerLength(prefix: Uint8Array, size: number, file: string): number {
  if (size < PREFIX_BYTES || prefix.byteLength < PREFIX_BYTES) {
    throw new SafetensorsError(file, `truncated: ${size} bytes, but a safetensors file begins with ${PREFIX_BYTES}`);
  }
  const length = new DataView(prefix.buffer, prefix.byteOffset, PREFIX_BYTES).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw new SafetensorsError(
      file,
      `header length ${length} is over the allowed ${MAX_HEADER_BYTES} bytes; is this a safetensors file?`,
    );
  }
  if (length > BigInt(size - PREFIX_BYTES)) {
    throw new SafetensorsError(
      file,
      `truncated: header length ${length}, but only ${size - PREFIX_BYTES} bytes follow`,
    );
  }
  return Number(length);
}

/** Parses and checks the header. `size` is that of the whole file. Throws {@link SafetensorsError}. */
export function parseHeader(bytes: Uint8Array, size: number, file: string): SafetensorsHeader {
  const entries = Object.entries(parseObject(bytes, file));
  const dataOffset = PREFIX_BYTES + bytes.byteLength;
  const tensors = new Map<string, TensorInfo>();
  let metadata: Record<string, string> = {};
  for (const [name, entry] of entries) {
    if (name === "__metadata__") metadata = parseMetadata(entry, file);
    else tensors.set(name, parseEntry(name, entry, dataOffset, file));
  }
  checkPlaces([...tensors.values()], dataOffset, size, file);
  return { tensors, metadata, dataOffset };
}

function parseObject(bytes: Uint8Array, file: string): Record<string, unknown> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new SafetensorsError(file, "header is not valid UTF-8", { cause });
  }
  if (!text.startsWith("{")) {
    throw new SafetensorsError(file, `header begins with ${quote(text.slice(0, 1))}, not with "{"`);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new SafetensorsError(file, `header is not valid JSON (${cause instanceof Error ? cause.message : cause})`, {
      cause,
    });
  }
  if (!isObject(parsed)) throw new SafetensorsError(file, "header is not a JSON object");
  const repeated = duplicateKey(text);
  if (repeated !== undefined) throw new SafetensorsError(file, `header has the key ${quote(repeated)} twice`);
  return parsed;
}

function parseMetadata(value: unknown, file: string): Record<string, string> {
  if (!isObject(value)) {
    throw new SafetensorsError(file, `__metadata__ is ${quote(value)}, not an object of strings`);
  }
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") {
      throw new SafetensorsError(file, `__metadata__ ${quote(key)} is ${quote(text)}, not a string`);
    }
  }
  return value as Record<string, string>;
}

function parseEntry(name: string, entry: unknown, dataOffset: number, file: string): TensorInfo {
  const fail = (problem: string): never => {
    throw new SafetensorsError(file, problem, { tensor: name });
  };
  if (!isObject(entry)) return fail(`header entry is ${quote(entry)}, not an object`);
  const { dtype, shape, data_offsets: offsets } = entry;
  if (!isDtype(dtype)) return fail(`dtype ${quote(dtype)} is not known; allowed: ${DTYPES.join(", ")}`);
  if (!Array.isArray(shape)) return fail(`shape ${quote(shape)} is not a list`);
  if (!Array.isArray(offsets) || offsets.length !== 2)
    return fail(`data_offsets ${quote(offsets)} is not [begin, end]`);
  const [begin, end] = offsets.map((offset) =>
    isCount(offset) ? offset : fail(`data offset ${quote(offset)} is not an integer of 0 or more`),
  ) as [number, number];
  if (begin > end) return fail(`data_offsets end before they begin: [${begin}, ${end}]`);
  const elements = countElements(shape, fail);
  const byteLength = elements * dtypeBytes(dtype);
  if (byteLength !== end - begin) {
    return fail(
      `data_offsets [${begin}, ${end}] hold ${end - begin} bytes, but ${dtype} of shape [${shape}] takes ${byteLength}`,
    );
  }
  return { name, dtype, shape, elements, offset: dataOffset + begin, byteLength };
}

/** Product of the sizes of a shape, each checked; a size of 0 does not excuse an overflow beside it. */
export function countElements(shape: readonly unknown[], fail: (problem: string) => never): number {
  let elements = 1;
  let nonZero = 1;
  for (const size of shape) {
    if (!isCount(size)) return fail(`shape ${quote(shape)} has the size ${quote(size)}, not an integer of 0 or more`);
    elements *= size;
    nonZero *= size === 0 ? 1 : size;
    if (nonZero * 8 > Number.MAX_SAFE_INTEGER) return fail(`shape ${quote(shape)} overflows`);
  }
  return elements;
}

/** Tensors must fill the data exactly: no overlap, no gap, nothing outside the file. */
function checkPlaces(tensors: TensorInfo[], dataOffset: number, size: number, file: string): void {
  tensors.sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  let end = dataOffset;
  let previous = "the header";
  for (const { name, offset, byteLength } of tensors) {
    const at = `[${offset - dataOffset}, ${offset - dataOffset + byteLength}]`;
    if (offset + byteLength > size) {
      throw new SafetensorsError(
        file,
        `data_offsets ${at} lie outside the ${size - dataOffset} bytes of data; the file may be truncated`,
        { tensor: name },
      );
    }
    if (offset < end) {
      throw new SafetensorsError(file, `data_offsets ${at} overlap those of ${previous}`, { tensor: name });
    }
    if (offset > end) {
      throw new SafetensorsError(file, `data_offsets ${at} leave a gap of ${offset - end} bytes after ${previous}`, {
        tensor: name,
      });
    }
    end = offset + byteLength;
    previous = `tensor ${quote(name)}`;
  }
  if (end !== size) {
    throw new SafetensorsError(file, `${size - end} bytes after ${previous} belong to no tensor`);
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
