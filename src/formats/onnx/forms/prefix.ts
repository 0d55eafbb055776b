// The states of a recurrence after each element of a sequence, in logarithmically many steps and without a loop: elements are
// joined two by two until one is left (each level half as long as the one below it), and on the way back every level gets its
// states from those of the level above (Blelloch 1990, "Prefix Sums and Their Applications"). The graph has all levels that the
// longest sequence needs; those beyond a shorter one are empty tensors and cost next to nothing.
import type { Shape } from "../../../graph/shape.ts";
import type { OnnxEmitter, Value } from "../lowering.ts";
import { arithmetic, END } from "./arithmetic.ts";

export type Values = readonly Value[];

export interface LinearScan {
  /** What a decay does to a gradient that goes back over it. */
  transposed(decay: Value): Value;
  /** The gradient of a decay, from that of the state after it and the state before it. */
  ofDecay(gradient: Value, before: Value): Value;
}

export interface PrefixScan {
  /** The axis of the sequence in `decays` and `inputs`. */
  readonly axis: number;
  /** How many elements there are, int64 [1]; they may be none. At most 2^(levels + 1) − 1; onnxruntime refuses more. */
  readonly length: Value;
  readonly levels: number;
  /** What each element does to the state before it; nothing where that is the same for all. */
  readonly decays: Values;
  /** Of each of `decays`, whatever it has on the axis of the sequence. */
  readonly decayShape: Shape;
  /** Of each of `inputs`, likewise. */
  readonly inputShape: Shape;
  /** The state that each element leaves behind where there was none before it. */
  readonly inputs: Values;
  /** The state before the first element, with one element along the axis. */
  readonly initial: Values | undefined;
  /** Where a state is one value that decays linearly: what makes the backward pass a scan from the end. */
  readonly linear?: LinearScan;
  /** The decays of two elements one after the other. */
  compose(earlier: Values, later: Values): Values;
  /** The state after an element that stands for 2^level of the sequence. */
  advance(state: Values, decays: Values, inputs: Values, level: number): Values;
}

/** The levels that a scan of `elements` needs. */
export const levelsFor = (elements: number): number => Math.max(1, Math.ceil(Math.log2(elements + 1)) - 1);

/** The states after each element, of the shapes of `inputs`. */
export function prefixStates(scan: PrefixScan, emit: OnnxEmitter): Values {
  const { linear, decays, inputs, initial = [] } = scan;
  if (linear === undefined) return statesOf(scan, emit);
  let states: Values = [];
  return emit.withAdjoint(
    [...decays, ...inputs, ...initial],
    () => {
      states = statesOf(scan, emit);
      return states;
    },
    ([gradient], [, , needsInitial = false]) =>
      gradient === undefined ? [] : backwards(scan, linear, states[0] ?? "", gradient, needsInitial, emit),
  );
}

/**
 * The gradients of decay, input and initial state of h ← a h + b: with g those of the states, G ← aᵀ G + g from the last element to
 * the first is that of b, and G hᵀ, h being the state before, that of a.
 */
function backwards(
  scan: PrefixScan,
  { transposed, ofDecay }: LinearScan,
  states: Value,
  gradient: Value,
  needsInitial: boolean,
  emit: OnnxEmitter,
): Values {
  const { axis, length } = scan;
  const { slice, concat, mul } = arithmetic(emit);
  const reversed = (x: Value): Value => slice(x, axis, -1, -END, -1);
  const butLast = (x: Value): Value => slice(x, axis, 0, -1);
  const first = (x: Value): Value => slice(x, axis, 0, 1);
  const nothing = (x: Value): Value => mul(x, emit.floats([0]));
  const back = reversed(transposed(scan.decays[0] ?? ""));
  // Each gradient goes back over the decay of the element after it; the last over none, and what stands there is not read.
  const decays = concat([first(back), butLast(back)], axis);
  const [sums = ""] = statesOf({ ...scan, decays: [decays], inputs: [reversed(gradient)], initial: undefined }, emit);
  const ofInput = reversed(sums);
  const start = scan.initial?.[0];
  const before = start === undefined ? nothing(first(states)) : slice(start, axis, 0, length);
  const decayGradient = ofDecay(ofInput, concat([before, butLast(states)], axis));
  if (start === undefined || !needsInitial) return [decayGradient, ofInput];
  // The decay of the first element, seen as a scan of one: nothing where there is no element.
  const [ofInitial = ""] = scan.advance([first(ofInput)], [first(reversed(back))], [nothing(first(ofInput))], 0);
  return [decayGradient, ofInput, first(concat([ofInitial, nothing(start)], axis))];
}

interface Elements {
  readonly decays: Values;
  readonly inputs: Values;
}

/** A slice along the axis of the sequence. */
interface Part {
  readonly start: number;
  readonly end: number | Value;
  readonly step: number;
  /** What its length is called. */
  readonly size: string;
}

function statesOf(scan: PrefixScan, emit: OnnxEmitter): Values {
  const { axis, compose, advance } = scan;
  const { slice, concat } = arithmetic(emit);
  const shaped = (x: Value, shape: Shape, size: string): Value =>
    emit.declare(
      x,
      shape.map((dim, i) => (i === axis ? `${size} of ${scan.length}` : dim)),
    );
  const take = (values: Values, shape: Shape, part: Part): Values =>
    values.map((x) => shaped(slice(x, axis, part.start, part.end, part.step), shape, part.size));
  const takeBoth = ({ decays, inputs }: Elements, part: Part): Elements => ({
    decays: take(decays, scan.decayShape, part),
    inputs: take(inputs, scan.inputShape, part),
  });
  const joined: Elements[] = [{ decays: scan.decays, inputs: withInitial(scan, emit) }];
  for (const [level, elements] of joined.entries()) {
    if (level === scan.levels) break;
    // An element without a partner, at the end, is not joined.
    const size = `1/${2 ** (level + 1)}`;
    const earlier = takeBoth(elements, { start: 0, end: -1, step: 2, size });
    const later = takeBoth(elements, { start: 1, end: END, step: 2, size });
    joined.push({
      decays: compose(earlier.decays, later.decays),
      inputs: advance(earlier.inputs, later.decays, later.inputs, level),
    });
  }
  const firstOf = (inputs: Values, level: number): Values =>
    take(inputs, scan.inputShape, { start: 0, end: 1, step: 1, size: `first of 1/${2 ** level}` });
  // Of too long a sequence more than one element is left here, and the places below are out of range.
  let states = firstOf(joined.pop()?.inputs ?? [], scan.levels);
  for (const [level, elements] of [...joined.entries()].reverse()) {
    const { pairs, order } = placesOf(scan.length, level, emit);
    const size = `followers in 1/${2 ** level}`;
    // States at odd places are those of the level above; those at even places follow one of them.
    const before = take(states, scan.inputShape, { start: 0, end: pairs, step: 1, size });
    const followers = takeBoth(elements, { start: 2, end: END, step: 2, size });
    const even = advance(before, followers.decays, followers.inputs, level);
    const first = firstOf(elements.inputs, level);
    const whole = (x: Value): Value => shaped(x, scan.inputShape, `1/${2 ** level}`);
    states = states.map((odd, i) => {
      const all = whole(concat([first[i] ?? "", even[i] ?? "", odd], axis));
      return whole(emit.node("Gather", [all, order], { attributes: { axis } }));
    });
  }
  return states;
}

function withInitial({ axis, length, decays, inputs, initial, advance }: PrefixScan, emit: OnnxEmitter): Values {
  if (initial === undefined) return inputs;
  const { slice, concat } = arithmetic(emit);
  const first = (values: Values): Values => values.map((x) => slice(x, axis, 0, 1));
  // Where there is no element at all, the initial state must not become one.
  const before = initial.map((x) => slice(x, axis, 0, length));
  const start = advance(before, first(decays), first(inputs), 0);
  return inputs.map((x, i) => concat([start[i] ?? "", slice(x, axis, 1, END)], axis));
}

/** Of a level: how many pairs have an element after them, int64 [1]; and where, in first, even and odd states, each is. */
function placesOf(length: Value, level: number, emit: OnnxEmitter): { readonly pairs: Value; readonly order: Value } {
  const { add, sub, mul, div, squeeze } = arithmetic(emit);
  const [one, two] = [emit.integers([1]), emit.integers([2])];
  const key = (what: string): string => `${what} of level ${level} of ${length}`;
  const count = emit.once(key("count"), () => div(length, emit.integers([2 ** level])));
  return {
    pairs: emit.once(key("pairs"), () => div(sub(count, one), two)),
    order: emit.once(key("order"), () => {
      const places = emit.node("Range", [emit.integer(0), squeeze(count, 0), emit.integer(1)]);
      const half = div(add(count, one), two);
      return add(div(places, two), mul(emit.node("Mod", [places, two]), half));
    }),
  };
}
