// Recurrences whose states are numbers that decay and are added to, each for itself: h ← a h + b.
import type { Dim } from "../../../graph/shape.ts";
import { type OnnxEmitter, present, type Value } from "../lowering.ts";
import { arithmetic } from "./arithmetic.ts";
import { levelsFor, prefixStates } from "./prefix.ts";

/** Axis of time in [B, T, …]. */
export const TIME = 1;

export interface Decaying {
  /** a, [B, T, …] */
  readonly decay: Value;
  /** b, of the same shape. */
  readonly input: Value;
  /** [B, …]; zeros where undefined. */
  readonly initial: Value | undefined;
  readonly time: Dim;
}

/** h after each token, of the shape of b. */
export function decayingStates({ decay, input, initial, time }: Decaying, emit: OnnxEmitter): Value {
  const { add, mul, unsqueeze } = arithmetic(emit);
  const [states] = prefixStates(
    {
      axis: TIME,
      length: emit.sizes([time]),
      levels: levelsFor(emit.longest),
      linear: { transposed: (a) => a, ofDecay: mul },
      decays: [decay],
      inputs: [input],
      initial: initial === undefined ? undefined : [unsqueeze(initial, TIME)],
      compose: ([earlier], [later]) => [mul(present(earlier, "earlier"), present(later, "later"))],
      advance: ([state], [a], [b]) => [add(mul(present(state, "state"), present(a, "a")), present(b, "b"))],
    },
    emit,
  );
  return present(states, "states");
}
