// What a model has to do at least, from its weights: multiply-adds of the products, and bytes read for one token.
import type { ArchitectureSpec } from "../src/spec/types.ts";

export type Weights = ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;

/** FLOP of the matrix products of all layers, per token; the head is not among them. */
export function productFlops(weights: Weights): number {
  let total = 0;
  for (const [name, { shape, data }] of weights) {
    const isConvolution = /\.conv(_[a-zA-Z]+)?\.weight$/.test(name);
    const isTable = name === "embedding.weight" || name === "head.weight" || name.endsWith("A_log");
    if (shape.length === 2 && !isConvolution && !isTable) total += 2 * data.length;
  }
  return total;
}

/** Bytes of weights that a decoding step reads: all but the embedding, of which it reads a row unless it is the head too. */
export function decodeBytes(spec: ArchitectureSpec, weights: Weights): number {
  let total = 0;
  for (const [name, { data }] of weights) if (name !== "embedding.weight" || spec.head.tied) total += data.byteLength;
  return total;
}
