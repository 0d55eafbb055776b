// Seedable, splittable random numbers whose whole state is a small JSON value, so that a resumed run draws exactly
// what an uninterrupted one would. Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
// SC 2011): a counter put through a keyed bijection. A stream is its key, a position is its counter, and streams
// with different keys are independent, which makes splitting by name exact rather than hopeful.

/** Serialisable state of a {@link Random}: JSON in, JSON out, exact. */
export interface RandomState {
  algorithm: "philox4x32-10";
  /** Two unsigned 32-bit words that name the stream. */
  key: [number, number];
  /** 128-bit counter, least significant word first: the next block to be generated. */
  counter: [number, number, number, number];
  /** Words of the current block already given out, 0 to 4. */
  used: number;
}

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;

/** High 32 bits, as a signed integer, of the product of two unsigned 32-bit integers; all in 32-bit arithmetic. */
function multiplyHigh(a: number, b: number): number {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const cross0 = Math.imul(a1, b0);
  const cross1 = Math.imul(a0, b1);
  const middle = (Math.imul(a0, b0) >>> 16) + (cross0 & 0xffff) + (cross1 & 0xffff);
  return (Math.imul(a1, b1) + (cross0 >>> 16) + (cross1 >>> 16) + (middle >>> 16)) | 0;
}

/**
 * One block of Philox4x32-10: four words from a counter of four words and a key of two, all unsigned 32-bit,
 * written to `out`.
 */
export function philox4x32(
  counter: ArrayLike<number>,
  key: ArrayLike<number>,
  out: Uint32Array = new Uint32Array(4),
): Uint32Array {
  let c0 = (counter[0] ?? 0) | 0;
  let c1 = (counter[1] ?? 0) | 0;
  let c2 = (counter[2] ?? 0) | 0;
  let c3 = (counter[3] ?? 0) | 0;
  let k0 = (key[0] ?? 0) | 0;
  let k1 = (key[1] ?? 0) | 0;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const low0 = Math.imul(MULTIPLIER_0, c0);
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low1 = Math.imul(MULTIPLIER_1, c2);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + WEYL_0) | 0;
    k1 = (k1 + WEYL_1) | 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
  return out;
}

/** A stream of random numbers. Two streams with the same state give the same numbers for ever. */
export class Random {
  readonly #key: Uint32Array;
  readonly #counter = new Uint32Array(4);
  readonly #block = new Uint32Array(4);
  #used = 4;

  private constructor(key: ArrayLike<number>) {
    this.#key = Uint32Array.from(key);
  }

  /** The stream of a seed: an integer from 0 to 2^53 - 1. Throws RangeError otherwise. */
  static fromSeed(seed: number): Random {
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new RangeError(`seed: ${seed} is not an integer from 0 to ${Number.MAX_SAFE_INTEGER}`);
    }
    return new Random([seed >>> 0, Math.floor(seed / 2 ** 32)]);
  }

  /** A stream exactly where {@link state} found it. Throws RangeError when the state is not one. */
  static fromState(state: RandomState): Random {
    const word = (value: unknown): boolean => Number.isInteger(value) && Number(value) >= 0 && Number(value) < 2 ** 32;
    const valid =
      state?.algorithm === "philox4x32-10" &&
      Array.isArray(state.key) &&
      state.key.length === 2 &&
      state.key.every(word) &&
      Array.isArray(state.counter) &&
      state.counter.length === 4 &&
      state.counter.every(word) &&
      Number.isInteger(state.used) &&
      state.used >= 0 &&
      state.used <= 4;
    if (!valid) throw new RangeError(`not the state of a philox4x32-10 random stream: ${JSON.stringify(state)}`);
    const random = new Random(state.key);
    random.#counter.set(state.counter);
    if (state.used < 4) {
      // The counter points past the block in use: step back, regenerate, go on from the same word.
      random.#retreat();
      random.#refill();
      random.#used = state.used;
    }
    return random;
  }

  /** The state as a JSON value; {@link Random.fromState} undoes it. */
  state(): RandomState {
    const [c0 = 0, c1 = 0, c2 = 0, c3 = 0] = this.#counter;
    const [k0 = 0, k1 = 0] = this.#key;
    return { algorithm: "philox4x32-10", key: [k0, k1], counter: [c0, c1, c2, c3], used: this.#used };
  }

  /**
   * An independent stream named by `label`. It depends on this stream's key and the label only, not on how many
   * numbers have been drawn: adding a consumer never disturbs the others.
   */
  split(label: string | number): Random {
    const bytes = new TextEncoder().encode(`${typeof label}:${label}`);
    // Absorb the label eight bytes a block, feeding the key forward (Matyas-Meyer-Oseas-like chaining).
    let key: ArrayLike<number> = this.#key;
    const counter = new Uint32Array(4);
    for (let start = 0; start < bytes.length; start += 8) {
      const view = new DataView(Uint8Array.from({ length: 8 }, (_, i) => bytes[start + i] ?? 0).buffer);
      counter.set([view.getUint32(0, true), view.getUint32(4, true), bytes.length, 0x73706c74]);
      const block = philox4x32(counter, key);
      key = [block[0] ?? 0, block[1] ?? 0];
    }
    return new Random(key);
  }

  /** 32 random bits, as an unsigned integer. */
  uint32(): number {
    if (this.#used === 4) this.#refill();
    return this.#block[this.#used++] ?? 0;
  }

  /** Uniform in [low, high), with 53 random bits before scaling. */
  uniform(low = 0, high = 1): number {
    const fraction = ((this.uint32() >>> 5) * 67108864 + (this.uint32() >>> 6)) / 9007199254740992;
    return low + (high - low) * fraction;
  }

  /** An unbiased integer in [low, high). Throws RangeError when the range is empty or wider than 2^32. */
  integer(low: number, high: number): number {
    const range = high - low;
    if (!Number.isSafeInteger(low) || !Number.isSafeInteger(high) || range <= 0 || range > 2 ** 32) {
      throw new RangeError(`cannot draw an integer from [${low}, ${high})`);
    }
    // Reject the incomplete last multiple of the range, so that every value is equally likely.
    const limit = 2 ** 32 - (2 ** 32 % range);
    for (;;) {
      const word = this.uint32();
      if (word < limit) return low + (word % range);
    }
  }

  /** A normal deviate (Box and Muller 1958). */
  normal(mean = 0, standardDeviation = 1): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return mean + standardDeviation * radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** Fills `out` with uniform deviates in [low, high) and returns it. */
  fillUniform<T extends Float32Array | Float64Array>(out: T, low = 0, high = 1): T {
    for (let i = 0; i < out.length; i++) out[i] = this.uniform(low, high);
    return out;
  }

  /**
   * Fills `out` with normal deviates, both of each Box-Muller pair, and returns it. Made for weights: each comes from
   * 32 random bits, so none is over 6.8 standard deviations.
   */
  fillNormal<T extends Float32Array | Float64Array>(out: T, mean = 0, standardDeviation = 1): T {
    for (let i = 0; i < out.length; i += 2) {
      const radius = standardDeviation * Math.sqrt(-2 * Math.log((this.uint32() + 0.5) * 2 ** -32));
      const angle = 2 * Math.PI * 2 ** -32 * this.uint32();
      out[i] = mean + radius * Math.cos(angle);
      if (i + 1 < out.length) out[i + 1] = mean + radius * Math.sin(angle);
    }
    return out;
  }

  /** Shuffles `items` in place, every order equally likely (Fisher and Yates), and returns it. */
  shuffle<T extends { length: number; [index: number]: unknown }>(items: T): T {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.integer(0, i + 1);
      const kept = items[i];
      items[i] = items[j];
      items[j] = kept;
    }
    return items;
  }

  /** `count` different integers from [low, high) in random order. Throws RangeError when there are not that many. */
  sample(count: number, low: number, high: number): Int32Array {
    const range = high - low;
    if (!Number.isSafeInteger(count) || count < 0 || !(count <= range)) {
      throw new RangeError(`cannot draw ${count} different integers from [${low}, ${high})`);
    }
    const out = new Int32Array(count);
    // A sparse Fisher-Yates: only displaced positions are remembered.
    const moved = new Map<number, number>();
    for (let i = 0; i < count; i++) {
      const j = this.integer(i, range);
      out[i] = low + (moved.get(j) ?? j);
      moved.set(j, moved.get(i) ?? i);
    }
    return out;
  }

  #refill(): void {
    philox4x32(this.#counter, this.#key, this.#block);
    this.#used = 0;
    for (let i = 0; i < 4; i++) {
      const next = ((this.#counter[i] ?? 0) + 1) >>> 0;
      this.#counter[i] = next;
      if (next !== 0) break;
    }
  }

  #retreat(): void {
    for (let i = 0; i < 4; i++) {
      const word = this.#counter[i] ?? 0;
      this.#counter[i] = word - 1;
      if (word !== 0) break;
    }
  }
}
