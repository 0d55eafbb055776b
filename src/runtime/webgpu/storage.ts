// Conversions between float32 on the host and the narrow storage types of buffers.
import { QUANTISED_BLOCK } from "./lowering.ts";

const bits = new Uint32Array(1);
const single = new Float32Array(bits.buffer);

/** IEEE 754 binary16, rounded to nearest, ties to even; beyond 65504 infinity. */
export function halfOf(value: number): number {
  single[0] = value;
  const x = bits[0] ?? 0;
  const sign = (x >>> 16) & 0x8000;
  const magnitude = x & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Subnormal: a multiple of 2^-24.
    const scaled = Math.abs(value) * 2 ** 24;
    const floor = Math.floor(scaled);
    const rest = scaled - floor;
    return sign | (floor + (rest > 0.5 || (rest === 0.5 && (floor & 1) === 1) ? 1 : 0));
  }
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | ((rounded - 0x38000000) >>> 13);
}

export function halfValue(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Halves, padded to whole words. */
export function toHalf(data: ArrayLike<number>): Uint16Array<ArrayBuffer> {
  const halves = new Uint16Array(2 * Math.ceil(data.length / 2));
  for (let i = 0; i < data.length; i++) halves[i] = halfOf(data[i] ?? 0);
  return halves;
}

export function fromHalf(halves: Uint16Array, size: number): Float32Array {
  return Float32Array.from({ length: size }, (_, i) => halfValue(halves[i] ?? 0));
}

const layouts = {
  int8: { perWord: 4, bits: 8, largest: 127 },
  int4: { perWord: 8, bits: 4, largest: 7 },
} as const;

/** Symmetric blocks of 32 elements in row-major order: q = round(x / scale), scale = max|x| / 127 (int8) or / 7 (int4). */
export function quantise(data: ArrayLike<number>, storage: "int8" | "int4") {
  const { perWord, bits: width, largest } = layouts[storage];
  const words = new Uint32Array(Math.ceil(data.length / perWord));
  const scales = new Float32Array(Math.ceil(data.length / QUANTISED_BLOCK));
  for (let block = 0; block < scales.length; block++) {
    const start = block * QUANTISED_BLOCK;
    const end = Math.min(data.length, start + QUANTISED_BLOCK);
    let most = 0;
    for (let i = start; i < end; i++) most = Math.max(most, Math.abs(data[i] ?? 0));
    const scale = Math.fround(most / largest);
    scales[block] = scale;
    if (scale === 0) continue;
    for (let i = start; i < end; i++) {
      const q = Math.max(-largest, Math.min(largest, Math.round((data[i] ?? 0) / scale)));
      const word = Math.floor(i / perWord);
      words[word] = (words[word] ?? 0) | ((q & (2 ** width - 1)) << (width * (i % perWord)));
    }
  }
  return { words, scales };
}

export function dequantise(words: Uint32Array, scales: Float32Array, storage: "int8" | "int4", size: number) {
  const { perWord, bits: width } = layouts[storage];
  return Float32Array.from({ length: size }, (_, i) => {
    const word = words[Math.floor(i / perWord)] ?? 0;
    const q = (word << (32 - width - width * (i % perWord))) >> (32 - width);
    return q * (scales[Math.floor(i / QUANTISED_BLOCK)] ?? 0);
  });
}
