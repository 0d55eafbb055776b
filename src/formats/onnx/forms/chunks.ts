// A sequence cut into chunks of equal length at run time, and what decays between the tokens of a chunk. The last chunk is
// filled up with zeros: tokens that neither decay a state nor write to it.
import type { Dim, Shape } from "../../../graph/shape.ts";
import type { OnnxEmitter, Value } from "../lowering.ts";
import { arithmetic, END } from "./arithmetic.ts";

export interface Chunks {
  /** Tokens of a chunk, int64 [1]: `longest`, or fewer where the whole sequence has fewer. */
  readonly size: Value;
  /** Number of chunks, int64 [1]. */
  readonly count: Value;
  /** Zeros at the end of the last chunk, int64 [1]. */
  readonly extra: Value;
  readonly time: Dim;
  readonly longest: number;
}

export function chunksOf(time: Dim, longest: number, emit: OnnxEmitter): Chunks {
  const { add, sub, mul, div } = arithmetic(emit);
  const key = (what: string): string => `${what} of ${time} in chunks of ${longest}`;
  const tokens = emit.sizes([time]);
  const one = emit.integers([1]);
  const size = emit.once(key("size"), () => emit.node("Min", [tokens, emit.integers([longest])]));
  const count = emit.once(key("count"), () => div(add(tokens, sub(size, one)), size));
  const extra = emit.once(key("extra"), () => sub(mul(count, size), tokens));
  return { size, count, extra, time, longest };
}

/** x [B, T, …], filled up with zeros, as [B, chunks, size, …rest]; `axes` is how many x has. */
export function cut(x: Value, axes: number, rest: readonly number[], chunks: Chunks, emit: OnnxEmitter): Value {
  const { concat } = arithmetic(emit);
  const { size, extra, time, longest } = chunks;
  const zeros = (n: number): Value[] => (n === 0 ? [] : [emit.integers(new Array<number>(n).fill(0))]);
  const pads = emit.once(`pads of ${axes} axes of ${time} in chunks of ${longest}`, () =>
    concat([...zeros(axes + 1), extra, ...zeros(axes - 2)], 0),
  );
  const target = emit.once(`chunks of ${longest} of ${time} of ${rest.join(" ")}`, () =>
    concat([emit.integers([0, -1]), size, ...(rest.length === 0 ? [] : [emit.integers(rest)])], 0),
  );
  return emit.node("Reshape", [emit.node("Pad", [x, pads]), target]);
}

/** x [B, chunks, size, …] as [B, T, …rest]. */
export function uncut(x: Value, batch: Dim, rest: Shape, { time }: Chunks, emit: OnnxEmitter): Value {
  const fixed = rest.map(Number);
  // 0 keeps the batch.
  const whole = emit.node("Reshape", [x, emit.integers([typeof batch === "number" ? batch : 0, -1, ...fixed])]);
  return arithmetic(emit).slice(whole, 1, 0, emit.sizes([time]));
}

/** Which tokens s of n are no later than (or, strictly, before) t: bool [n, n], rows t; n is int64 [1]. */
export function lower(n: Value, strict: boolean, emit: OnnxEmitter): Value {
  const { squeeze, unsqueeze } = arithmetic(emit);
  const places = emit.once(`places ${n}`, () => emit.node("Range", [emit.integer(0), squeeze(n, 0), emit.integer(1)]));
  return emit.once(`lower ${n} ${strict}`, () =>
    emit.node(strict ? "Greater" : "GreaterOrEqual", [unsqueeze(places, 1), unsqueeze(places, 0)]),
  );
}

/**
 * e^(g[s + 1] + … + g[t]) for s ≤ t, else 0: [.., t, s, …], of logarithms g [.., n, …] with `inner` axes after that of the n
 * tokens. The sums are taken for every pair by itself: differences of sums from the start on would lose small decays beside
 * large ones.
 */
export function pairDecays(g: Value, n: Value, inner: 0 | 1, emit: OnnxEmitter): Value {
  const { where, exp, cumSum, unsqueeze } = arithmetic(emit);
  const zero = emit.floats([0]);
  const mask = (strict: boolean): Value => {
    const flat = lower(n, strict, emit);
    return inner === 0 ? flat : emit.once(`deep ${flat}`, () => unsqueeze(flat, 2));
  };
  const rows = unsqueeze(g, inner === 0 ? -1 : -2);
  const sums = cumSum(where(mask(true), rows, zero), inner === 0 ? -2 : -3);
  return where(mask(false), exp(sums), zero);
}

/** The last entry of an axis, which stays. */
export const last = (x: Value, axis: number, emit: OnnxEmitter): Value => arithmetic(emit).slice(x, axis, -1, END);
