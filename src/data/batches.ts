// Batches for training and evaluation: windows of a token stream with the next token as target, in a random or fixed
// order whose position is a small JSON value, so that a resumed run sees the batches that were still to come.
import { DataError } from "./error.ts";
import { Random, type RandomState } from "./random.ts";
import type { TokenArray } from "./text.ts";

/** Target at positions that are not scored; the loss and the accuracy leave them out. */
export const IGNORED_TARGET = -100;

/** What a training step consumes. */
export interface Batch {
  /** int32 token ids [B,T], row-major. */
  tokens: Int32Array;
  /** int32 [B,T]: what the model should say at each position, or {@link IGNORED_TARGET}. */
  targets: Int32Array;
}

/** Where a source of batches stands: a JSON value, different for each kind of source. */
export type BatchPosition =
  | { order: "random" | "task"; random: RandomState }
  | { order: "shuffled"; epoch: number; window: number }
  | { order: "sequential"; window: number };

/** An endless supply of batches of one shape. */
export interface BatchSource {
  /** Rows (B) and positions (T) of every batch. */
  readonly batch: number;
  readonly length: number;
  next(): Batch;
  /** The position before the next batch. */
  position(): BatchPosition;
  /** Goes to a position. Throws {@link DataError} for one that is not of this source. */
  restore(position: BatchPosition): void;
}

/** How windows of a token stream are chosen. */
export interface WindowOptions {
  batch: number;
  length: number;
  /**
   * `random`: windows anywhere, with replacement. `shuffled`: every token once an epoch, windows side by side from a
   * random start in a random order. `sequential`: windows side by side in order, over and over.
   */
  order: "random" | "shuffled" | "sequential";
  /** The stream that orders are drawn from; unused by `sequential`. */
  random: Random;
  /** Names the data in messages. */
  name?: string;
}

/** Batches of windows of `tokens`. Throws {@link DataError} where there is not one window of `length` + 1 tokens. */
export function textBatches(tokens: TokenArray, options: WindowOptions): BatchSource {
  requireWindow(tokens, options.length, options.name);
  const starts = { random: randomStarts, shuffled: shuffledStarts, sequential: sequentialStarts }[options.order](
    tokens,
    options,
  );
  const { batch, length } = options;
  const next = () => gather(tokens, Array.from({ length: batch }, starts.next), length);
  return { batch, length, next, position: starts.position, restore: starts.restore };
}

/**
 * Batches for evaluation: the same windows every time, spread evenly over `tokens`. As many batches as the stream
 * fills without overlap, or `batches` where that is fewer; one batch of overlapping windows where the stream is short.
 */
export function evaluationBatches(
  tokens: TokenArray,
  options: { batch: number; length: number; batches?: number; name?: string },
): Batch[] {
  const { batch, length, name } = options;
  requireWindow(tokens, length, name);
  const whole = Math.floor((tokens.length - 1) / length / batch);
  const count = Math.max(1, Math.min(whole, options.batches ?? whole));
  const windows = count * batch;
  const room = tokens.length - 1 - length;
  const start = (window: number) => (windows === 1 ? 0 : Math.floor((room * window) / (windows - 1)));
  return Array.from({ length: count }, (_, index) =>
    gather(
      tokens,
      Array.from({ length: batch }, (_, row) => start(index * batch + row)),
      length,
    ),
  );
}

function requireWindow(tokens: TokenArray, length: number, name = "the data"): void {
  if (!Number.isSafeInteger(length) || length < 1) throw new DataError(`a window of ${length} tokens is not possible`);
  if (tokens.length < length + 1) {
    throw new DataError(
      `${name}: too short: ${tokens.length} tokens, but one window takes sequence_length + 1 = ${length + 1}`,
    );
  }
}

function gather(tokens: TokenArray, starts: readonly number[], length: number): Batch {
  const batch: Batch = {
    tokens: new Int32Array(starts.length * length),
    targets: new Int32Array(starts.length * length),
  };
  for (const [row, start] of starts.entries()) {
    batch.tokens.set(tokens.subarray(start, start + length), row * length);
    batch.targets.set(tokens.subarray(start + 1, start + length + 1), row * length);
  }
  return batch;
}

interface Starts {
  next(): number;
  position(): BatchPosition;
  restore(position: BatchPosition): void;
}

function randomStarts(tokens: TokenArray, { length, random }: WindowOptions): Starts {
  let stream = random;
  return {
    next: () => stream.integer(0, tokens.length - length),
    position: () => ({ order: "random", random: stream.state() }),
    restore: (position) => {
      if (position?.order !== "random") throw wrongPosition("random", position);
      stream = restoreRandom(position.random);
    },
  };
}

function shuffledStarts(tokens: TokenArray, { length, random }: WindowOptions): Starts {
  let epoch = 0;
  let window = 0;
  let starts = epochStarts(tokens.length, length, random.split(epoch));
  return {
    next: () => {
      if (window >= starts.length) {
        epoch++;
        window = 0;
        starts = epochStarts(tokens.length, length, random.split(epoch));
      }
      return starts[window++] ?? 0;
    },
    position: () => ({ order: "shuffled", epoch, window }),
    restore: (position) => {
      if (position?.order !== "shuffled" || !isCount(position.epoch) || !isCount(position.window)) {
        throw wrongPosition("shuffled", position);
      }
      ({ epoch, window } = position);
      starts = epochStarts(tokens.length, length, random.split(epoch));
    },
  };
}

/** Starts of all windows of an epoch, side by side from a random first one, shuffled. */
function epochStarts(tokens: number, length: number, random: Random): Int32Array {
  const first = random.integer(0, Math.min(length, tokens - length));
  const count = Math.floor((tokens - 1 - first) / length);
  return random.shuffle(Int32Array.from({ length: count }, (_, index) => first + index * length));
}

function sequentialStarts(tokens: TokenArray, { length }: WindowOptions): Starts {
  const count = Math.floor((tokens.length - 1) / length);
  let window = 0;
  return {
    next: () => (window++ % count) * length,
    position: () => ({ order: "sequential", window }),
    restore: (position) => {
      if (position?.order !== "sequential" || !isCount(position.window)) throw wrongPosition("sequential", position);
      window = position.window;
    },
  };
}

/** A random stream from a saved state, with a {@link DataError} where the state is none. */
export function restoreRandom(state: RandomState): Random {
  try {
    return Random.fromState(state);
  } catch (cause) {
    throw new DataError(`the saved data position is damaged: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
}

/** The error for a position that belongs to another kind of source. */
export function wrongPosition(order: BatchPosition["order"], found: unknown): DataError {
  return new DataError(`the saved data position ${JSON.stringify(found)} is not one of ${order} data`);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
