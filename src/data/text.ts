// Documents to token streams: tokenised, packed end to end in the narrowest integers, split into what is trained on
// and what is held out.
import { DataError } from "./error.ts";
import { Random } from "./random.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** One text: a file, or a line of JSONL. Bytes stay bytes until a tokenizer reads them. */
export interface Document {
  /** For messages: a path, or path:line. */
  name: string;
  text: string | Uint8Array;
}

/** Token ids, one after another, in the narrowest type that holds the vocabulary. */
export type TokenArray = Uint8Array | Uint16Array | Int32Array;

/** How data are divided into training and held-out parts. */
export interface SplitOptions {
  /** Share of tokens to hold out, over 0 and under 1. */
  fraction: number;
  /**
   * What is held out: whole documents, or stretches of the packed stream. Documents by default, where there are
   * at least {@link DOCUMENTS_TO_SPLIT}.
   */
  by?: "documents" | "chunks";
  /** Chooses what is held out; independent of the run's seed, so that runs compare. */
  seed?: number;
}

/** Training and held-out tokens, with no token in both. */
export interface SplitTokens {
  train: TokenArray;
  validation: TokenArray;
  by: "documents" | "chunks";
}

/** From so many documents on, whole documents are held out by default. */
export const DOCUMENTS_TO_SPLIT = 20;

/** Stretches held out by chunks are of at most this many tokens. */
const CHUNK_TOKENS = 16384;

/** An array of `length` token ids under `vocabSize`. */
export function tokenArray(length: number, vocabSize: number): TokenArray {
  if (vocabSize <= 256) return new Uint8Array(length);
  return vocabSize <= 65536 ? new Uint16Array(length) : new Int32Array(length);
}

/**
 * Tokenises documents, each followed by the tokenizer's end-of-text id where it has one. Empty documents are left out.
 * Throws {@link DataError} when a document cannot be tokenised, or when nothing is left.
 */
export function tokenizeDocuments(documents: readonly Document[], tokenizer: Tokenizer): TokenArray[] {
  const streams: TokenArray[] = [];
  for (const { name, text } of documents) {
    if (text.length === 0) continue;
    const ids = encode(name, text, tokenizer);
    const end = tokenizer.endOfText;
    const stream = tokenArray(ids.length + (end === undefined ? 0 : 1), tokenizer.vocabSize);
    stream.set(ids);
    if (end !== undefined) stream[ids.length] = end;
    streams.push(stream);
  }
  if (streams.every((stream) => stream.length === 0)) {
    const names = documents.slice(0, 3).map(({ name }) => name);
    const some = documents.length > 3 ? `${names.join(", ")}, …` : names.join(", ");
    throw new DataError(documents.length === 0 ? "the data are empty: no documents" : `the data are empty: ${some}`);
  }
  return streams;
}

function encode(name: string, text: string | Uint8Array, tokenizer: Tokenizer): Int32Array {
  try {
    return tokenizer.encode(text);
  } catch (cause) {
    throw new DataError(`${name}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}

/** Streams put end to end. */
export function packTokens(streams: readonly TokenArray[]): TokenArray {
  const length = streams.reduce((sum, stream) => sum + stream.length, 0);
  const Widest = streams.some((stream) => stream instanceof Int32Array)
    ? Int32Array
    : streams.some((stream) => stream instanceof Uint16Array)
      ? Uint16Array
      : Uint8Array;
  const packed = new Widest(length);
  let offset = 0;
  for (const stream of streams) {
    packed.set(stream, offset);
    offset += stream.length;
  }
  return packed;
}

/**
 * Divides documents' tokens into training and held-out parts, the same every time for the same data and options.
 * Throws {@link DataError} when there is too little to divide.
 */
export function splitTokens(documents: readonly TokenArray[], options: SplitOptions): SplitTokens {
  const { fraction, seed = 0 } = options;
  if (!(fraction > 0 && fraction < 1)) {
    throw new DataError(`the share of validation data is ${fraction}; allowed: over 0 and under 1`);
  }
  const by = options.by ?? (documents.length >= DOCUMENTS_TO_SPLIT ? "documents" : "chunks");
  const pieces = by === "documents" ? documents : chunks(packTokens(documents), fraction);
  if (pieces.length < 2) {
    throw new DataError(`${pieces.length} ${by} cannot be divided into training and validation data`);
  }
  const held = holdOut(
    pieces.map((piece) => piece.length),
    fraction,
    Random.fromSeed(seed).split("validation"),
  );
  return {
    train: packTokens(pieces.filter((_, index) => !held.has(index))),
    validation: packTokens(pieces.filter((_, index) => held.has(index))),
    by,
  };
}

/** Equal stretches, small enough that the wanted share is at least one and training keeps at least one. */
function chunks(tokens: TokenArray, fraction: number): TokenArray[] {
  const smaller = Math.min(fraction, 1 - fraction);
  const size = Math.max(1, Math.min(CHUNK_TOKENS, Math.floor(tokens.length * smaller)));
  const pieces: TokenArray[] = [];
  for (let start = 0; start < tokens.length; start += size) pieces.push(tokens.subarray(start, start + size));
  return pieces;
}

/** Indices to hold out: in random order, each that brings the total nearer to the wanted share; never none, never all. */
function holdOut(lengths: readonly number[], fraction: number, random: Random): Set<number> {
  const wanted = fraction * lengths.reduce((sum, length) => sum + length, 0);
  const order = random.shuffle(lengths.map((_, index) => index));
  const held = new Set<number>();
  let total = 0;
  for (const index of order) {
    const length = lengths[index] ?? 0;
    if (held.size + 1 < lengths.length && Math.abs(total + length - wanted) <= Math.abs(total - wanted)) {
      held.add(index);
      total += length;
    }
  }
  if (held.size === 0) {
    // Every piece is more than twice the wanted share: the smallest is the nearest.
    held.add(order.reduce((best, index) => ((lengths[index] ?? 0) < (lengths[best] ?? 0) ? index : best)));
  }
  return held;
}
