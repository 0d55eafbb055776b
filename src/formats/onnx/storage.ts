// How the weights of a file are stored: the types that there are, and matrices as blocks of small numbers.

/** Blocks of one row (along the depth of a product) that share a scale, and a zero point where they are asymmetric. */
export interface Quantisation {
  readonly bits: 4 | 8;
  /** Elements of a block: a power of two from 16 on. */
  readonly block: number;
  /** Numbers are about 0; else each block has a zero point of its own. */
  readonly symmetric: boolean;
}

export interface StorageOptions {
  /** Type of matrices that are not quantised. Norms, rates, biases and states are f32 in either. */
  readonly dtype?: "f32" | "f16";
  /** How matrices of products and embeddings are quantised; default: not at all. */
  readonly quantise?: Quantisation | undefined;
}

/** Whether a matrix of this depth is divided into whole blocks. Others stay as they are. */
export const divides = (depth: number, quantise: Quantisation | undefined): quantise is Quantisation =>
  quantise !== undefined && depth % quantise.block === 0;

export interface Blocks {
  /** One number per element, from 0 to 2^bits − 1. */
  readonly codes: Uint8Array;
  /** One per block: x ≈ scale · (code − zero). */
  readonly scales: Float32Array;
  /** One per block; 2^(bits − 1) where symmetric. */
  readonly zeros: Uint8Array;
}

/**
 * Blocks of consecutive elements of `values`. Symmetric: the element of largest magnitude becomes −2^(bits − 1) exactly, so
 * that a scale may be negative. Asymmetric: 0 and both ends of the block are in range.
 */
export function quantiseBlocks(values: Float32Array, { bits, block, symmetric }: Quantisation): Blocks {
  const levels = 2 ** bits;
  const middle = levels / 2;
  const count = values.length / block;
  const codes = new Uint8Array(values.length);
  const scales = new Float32Array(count);
  const zeros = new Uint8Array(count).fill(middle);
  for (let b = 0; b < count; b++) {
    let [low, high] = [0, 0];
    for (let i = b * block; i < (b + 1) * block; i++) {
      const x = values[i] ?? 0;
      if (x < low) low = x;
      else if (x > high) high = x;
    }
    const largest = high > -low ? high : low;
    const scale = Math.fround(symmetric ? -largest / middle : (high - low) / (levels - 1));
    scales[b] = scale;
    const zero = symmetric || scale === 0 ? middle : Math.round(-low / scale);
    zeros[b] = zero;
    for (let i = b * block; i < (b + 1) * block; i++) {
      const code = scale === 0 ? zero : Math.round((values[i] ?? 0) / scale) + zero;
      codes[i] = Math.max(0, Math.min(levels - 1, code));
    }
  }
  return { codes, scales, zeros };
}

/** Rows of `width` codes as bytes, two of four bits in one, the first in the low half; each row fills whole bytes. */
export function packCodes(codes: Uint8Array, bits: 4 | 8, width = codes.length): Uint8Array {
  if (bits === 8) return codes;
  const stride = Math.ceil(width / 2);
  const packed = new Uint8Array((codes.length / width) * stride);
  for (let i = 0; i < codes.length; i++) {
    const column = i % width;
    const at = ((i - column) / width) * stride + (column >> 1);
    packed[at] = (packed[at] ?? 0) | ((codes[i] ?? 0) << (4 * (column & 1)));
  }
  return packed;
}

/** Rows × columns to columns × rows. */
export function transposed<A extends Float32Array | Uint8Array>(values: A, rows: number, columns: number): A {
  const result = new (values.constructor as new (size: number) => A)(values.length);
  // Tiles: both sides are then read and written by cache lines.
  const TILE = 32;
  for (let top = 0; top < rows; top += TILE) {
    for (let left = 0; left < columns; left += TILE) {
      const [bottom, right] = [Math.min(rows, top + TILE), Math.min(columns, left + TILE)];
      for (let row = top; row < bottom; row++)
        for (let column = left; column < right; column++)
          result[column * rows + row] = values[row * columns + column] ?? 0;
    }
  }
  return result;
}
