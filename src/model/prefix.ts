// Learned vectors that stand before every sequence (meta tokens). Graphs read them as tokens with ids from the vocabulary's size
// on; who runs a graph puts those ids before each row and takes what belongs to them out of the results.
import type { ArchitectureSpec } from "../spec/types.ts";

/** Ids of the prefix, once for each of `rows`. */
export function prefixIds({ vocab_size, embedding }: ArchitectureSpec, rows: number): Int32Array {
  const { prefix_tokens: count } = embedding;
  return Int32Array.from({ length: rows * count }, (_, i) => vocab_size + (i % count));
}

/** Rows of `length` values, each after `fill` (as the prefix is in the vocabulary, or always the same value). */
export function withPrefix(values: Int32Array, length: number, fill: Int32Array): Int32Array {
  const rows = values.length / length;
  const width = fill.length + length;
  const result = new Int32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    result.set(fill, row * width);
    result.set(values.subarray(row * length, (row + 1) * length), row * width + fill.length);
  }
  return result;
}

/** Rows of `length` items of `size` values without the first `count` items of each. */
export function withoutPrefix(values: Float32Array, length: number, count: number, size: number): Float32Array {
  if (count === 0) return values;
  const width = (length - count) * size;
  const rows = values.length / (length * size);
  const result = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    const from = (row * length + count) * size;
    result.set(values.subarray(from, from + width), row * width);
  }
  return result;
}
