// The element types of safetensors files: their sizes, the JavaScript arrays that hold them, and conversion to and
// from float32. Files are little-endian, as is every machine that runs JavaScript.

/** Typed arrays in which tensors are handed out. F16 and BF16 are given as their 16 bits. */
export type TensorArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array;

interface DtypeRule {
  /** Bytes per element. */
  bytes: number;
  /** The array type that holds the elements as stored. */
  array: new (
    buffer: ArrayBufferLike,
    byteOffset: number,
    length: number,
  ) => TensorArray;
}

// In the order in which a file's tensors are laid out: wide types first, so that all are aligned; the rest of the
// order is the reference implementation's, so that equal content gives equal files.
const RULES = {
  U64: { bytes: 8, array: BigUint64Array },
  I64: { bytes: 8, array: BigInt64Array },
  F64: { bytes: 8, array: Float64Array },
  F32: { bytes: 4, array: Float32Array },
  U32: { bytes: 4, array: Uint32Array },
  I32: { bytes: 4, array: Int32Array },
  BF16: { bytes: 2, array: Uint16Array },
  F16: { bytes: 2, array: Uint16Array },
  U16: { bytes: 2, array: Uint16Array },
  I16: { bytes: 2, array: Int16Array },
  I8: { bytes: 1, array: Int8Array },
  U8: { bytes: 1, array: Uint8Array },
  BOOL: { bytes: 1, array: Uint8Array },
} satisfies Record<string, DtypeRule>;

/** Name of an element type, as in the file. */
export type Dtype = keyof typeof RULES;

/** All element types that are read and written, in the order in which a file is laid out. */
export const DTYPES = Object.keys(RULES) as readonly Dtype[];

/** Whether `value` names an element type. */
export function isDtype(value: unknown): value is Dtype {
  return typeof value === "string" && Object.hasOwn(RULES, value);
}

/** Types that stand for real numbers. */
export type FloatDtype = "F64" | "F32" | "F16" | "BF16";

/** Whether elements of `dtype` stand for real numbers. */
export function isFloat(dtype: Dtype): dtype is FloatDtype {
  return dtype === "F64" || dtype === "F32" || dtype === "F16" || dtype === "BF16";
}

/** Bytes per element of `dtype`. */
export function dtypeBytes(dtype: Dtype): number {
  return RULES[dtype].bytes;
}

/** Whether `array` is what holds `dtype` as stored; plain bytes (Uint8Array) hold any. */
export function holds(array: ArrayBufferView, dtype: Dtype): boolean {
  return array instanceof Uint8Array || array instanceof RULES[dtype].array;
}

/** The elements of `bytes`, viewed without a copy where alignment allows. The length must be a whole number of elements. */
export function viewAs(bytes: Uint8Array, dtype: Dtype): TensorArray {
  const rule: DtypeRule = RULES[dtype];
  const aligned = bytes.byteOffset % rule.bytes === 0 ? bytes : bytes.slice();
  return new rule.array(aligned.buffer, aligned.byteOffset, aligned.byteLength / rule.bytes);
}

/** The bytes beneath any view, without a copy. */
export function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

let halfTable: Float32Array | undefined;

/** Every float16 as float32, by its bits; built on first use (256 KiB). */
function halfToFloat(): Float32Array {
  if (halfTable === undefined) {
    halfTable = new Float32Array(65536);
    for (let bits = 0; bits < 65536; bits++) {
      const sign = bits & 0x8000 ? -1 : 1;
      const exponent = (bits >> 10) & 31;
      const fraction = bits & 1023;
      if (exponent === 0) halfTable[bits] = sign * fraction * 2 ** -24;
      else if (exponent < 31) halfTable[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
      else halfTable[bits] = fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    }
  }
  return halfTable;
}

/**
 * Converts stored elements to float32: F64 to the nearest, the others exactly.
 *
 * @param stored elements as {@link viewAs} gives them
 * @param out where to put them; as long as `stored`
 */
export function toFloat32(
  stored: TensorArray,
  dtype: FloatDtype,
  out: Float32Array = new Float32Array(stored.length),
): Float32Array {
  if (dtype === "F16") {
    const table = halfToFloat();
    for (let i = 0; i < stored.length; i++) out[i] = table[Number(stored[i])] ?? 0;
  } else if (dtype === "BF16") {
    const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
    for (let i = 0; i < stored.length; i++) bits[i] = Number(stored[i]) << 16;
  } else {
    for (let i = 0; i < stored.length; i++) out[i] = Number(stored[i]);
  }
  return out;
}

/** Converts float32 to a stored float type, to nearest with ties to even; too large for F16 becomes infinity. */
export function fromFloat32(values: Float32Array, dtype: FloatDtype): Float32Array | Float64Array | Uint16Array {
  if (dtype === "F32") return values;
  if (dtype === "F64") return Float64Array.from(values);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  const convert = dtype === "BF16" ? bfloatBits : halfBits;
  for (let i = 0; i < out.length; i++) out[i] = convert(bits[i] ?? 0);
  return out;
}

/** bfloat16 bits of the float32 with these bits. */
function bfloatBits(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40; // keep NaN quiet, whatever its payload
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** float16 bits of the float32 with these bits. */
function halfBits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00; // 65536 and more, infinity included
  if (magnitude < 0x38800000) {
    // Subnormal in float16: scale so that one unit is the smallest subnormal, then round to even.
    if (magnitude < 0x33000000) return sign;
    const shift = 126 - (magnitude >>> 23);
    const mantissa = (magnitude & 0x7fffff) | 0x800000;
    const half = 1 << (shift - 1);
    return sign | ((mantissa + half - 1 + ((mantissa >>> shift) & 1)) >>> shift);
  }
  const rebased = magnitude - 0x38000000; // exponent bias 127 to 15
  return sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13);
}
