// Reads safetensors lazily: the header at once, each tensor or part of a tensor when asked for.
import { dtypeBytes, isFloat, type TensorArray, toFloat32, viewAs } from "./dtype.ts";
import { quote, SafetensorsError } from "./error.ts";
import { headerLength, PREFIX_BYTES, parseHeader, type SafetensorsHeader, type TensorInfo } from "./header.ts";
import type { RandomAccessSource } from "./source.ts";

/** Bytes converted at a time, so that reading a large tensor takes little more memory than its result. */
const CHUNK_BYTES = 8 * 1024 * 1024;

/** Part of a tensor, in elements of its flat (row-major) order; all of it by default. */
export interface ElementRange {
  start?: number;
  count?: number;
}

/** An open safetensors file. Reads fetch only the bytes that they return. */
export class Safetensors {
  readonly name: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly #source: RandomAccessSource;

  constructor(source: RandomAccessSource, header: SafetensorsHeader) {
    this.name = source.name;
    this.tensors = header.tensors;
    this.metadata = header.metadata;
    this.#source = source;
  }

  /** Type, shape and place of a tensor. Throws {@link SafetensorsError} when the file has none of this name. */
  info(tensor: string): TensorInfo {
    const info = this.tensors.get(tensor);
    if (info !== undefined) return info;
    const names = [...this.tensors.keys()];
    const some = names.slice(0, 8).join(", ") + (names.length > 8 ? ", …" : "");
    throw new SafetensorsError(
      this.name,
      `not in the file, which has ${names.length} tensors${some && `: ${quote(some)}`}`,
      { tensor },
    );
  }

  /** Elements as stored (F16 and BF16 as their bits, BOOL as bytes), in fresh memory. */
  async read(tensor: string, range: ElementRange = {}): Promise<TensorArray> {
    const info = this.info(tensor);
    const { start, count } = this.#checkRange(info, range);
    return viewAs(await this.#bytes(info, start, count), info.dtype);
  }

  /**
   * Elements as float32, converted in pieces from whatever floating-point type they have. Throws {@link SafetensorsError}
   * for any other type: integers are indices or quantised values, which mean something else as they stand.
   *
   * @param into where to put them, as long as the range; fresh memory by default
   */
  async readFloat32(tensor: string, range: ElementRange & { into?: Float32Array } = {}): Promise<Float32Array> {
    const info = this.info(tensor);
    const { dtype } = info;
    if (!isFloat(dtype)) {
      throw new SafetensorsError(this.name, `dtype ${dtype}, where floating point is expected`, { tensor });
    }
    const { start, count } = this.#checkRange(info, range);
    const out = range.into ?? new Float32Array(count);
    if (out.length !== count) {
      throw new RangeError(`tensor ${quote(tensor)}: ${count} elements do not fit an array of ${out.length}`);
    }
    const step = CHUNK_BYTES / dtypeBytes(dtype);
    for (let done = 0; done < count; done += step) {
      const length = Math.min(step, count - done);
      const bytes = await this.#bytes(info, start + done, length);
      toFloat32(viewAs(bytes, dtype), dtype, out.subarray(done, done + length));
    }
    return out;
  }

  /** Elements of an integer or BOOL tensor as int32. Throws {@link SafetensorsError} when one does not fit. */
  async readInt32(tensor: string, range: ElementRange = {}): Promise<Int32Array> {
    const info = this.info(tensor);
    if (isFloat(info.dtype)) {
      throw new SafetensorsError(this.name, `dtype ${info.dtype}, where integers are expected`, { tensor });
    }
    const stored = await this.read(tensor, range);
    const out = new Int32Array(stored.length);
    for (let i = 0; i < out.length; i++) {
      const value = Number(stored[i]);
      if (value !== (value | 0)) {
        throw new SafetensorsError(this.name, `element ${i} is ${value}, which does not fit 32 bits`, { tensor });
      }
      out[i] = value;
    }
    return out;
  }

  #checkRange(info: TensorInfo, range: ElementRange): { start: number; count: number } {
    const start = range.start ?? 0;
    const count = range.count ?? info.elements - start;
    const valid = Number.isSafeInteger(start) && Number.isSafeInteger(count) && start >= 0 && count >= 0;
    if (!valid || start + count > info.elements) {
      throw new RangeError(
        `tensor ${quote(info.name)}: elements ${start} to ${start + count} of ${info.elements} were asked for`,
      );
    }
    return { start, count };
  }

  async #bytes(info: TensorInfo, start: number, count: number): Promise<Uint8Array> {
    const size = dtypeBytes(info.dtype);
    const bytes = await this.#source.read(info.offset + start * size, count * size);
    if (bytes.byteLength !== count * size) {
      throw new SafetensorsError(this.name, `truncated: ${bytes.byteLength} of ${count * size} bytes could be read`, {
        tensor: info.name,
      });
    }
    return bytes;
  }
}

/** Opens a safetensors source: reads and checks the header. Throws {@link SafetensorsError}. */
export async function openSafetensors(source: RandomAccessSource): Promise<Safetensors> {
  const prefix = await source.read(0, Math.min(PREFIX_BYTES, source.size));
  const length = headerLength(prefix, source.size, source.name);
  const bytes = await source.read(PREFIX_BYTES, length);
  if (bytes.byteLength !== length) {
    throw new SafetensorsError(
      source.name,
      `truncated: ${bytes.byteLength} of ${length} bytes of header could be read`,
    );
  }
  return new Safetensors(source, parseHeader(bytes, source.size, source.name));
}
