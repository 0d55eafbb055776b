// Recurrences whose states are numbers that decay and are added to, each for itself: h ← a h + b.
import type { Shape } from "../../../graph/shape.ts";
import { type OnnxEmitter, present, type Value } from "../lowering.ts";
import { arithmetic } from "./arithmetic.ts";
import { levelsFor, prefixStates } from "./prefix.ts";

/** Axis of time in [B, T, …]. */
export const TIME = 1;

export interface Decaying {
  /** Of a and b: [B, T, …]. */
  readonly shape: Shape;
  /** a */
  readonly decay: Value;
  /** b */
  readonly input: Value;
  /** [B, …]; zeros where undefined. */
  readonly initial: Value | undefined;
}

/** h after each token, of the shape of b. */
export function decayingStates({ shape, decay, input, initial }: Decaying, emit: OnnxEmitter): Value {
  const { add, mul, unsqueeze } = arithmetic(emit);
  const [states] = prefixStates(
    {
      axis: TIME,
      length: emit.sizes(shape.slice(TIME, TIME + 1)),
      levels: levelsFor(emit.longest),
      linear: { transposed: (a) => a, ofDecay: mul },
      decayShape: shape,
      inputShape: shape,
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
