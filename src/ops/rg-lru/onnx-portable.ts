// rg_lru in ONNX from primitives: its vector at every token, by a scan of logarithmic depth.
import { arithmetic, END } from "../../formats/onnx/forms/arithmetic.ts";
import { decayingStates, TIME } from "../../formats/onnx/forms/decaying.ts";
import { type OnnxEmitter, type OnnxLowering, present, type Value } from "../../formats/onnx/lowering.ts";
import { masked } from "../../formats/onnx/recurrence.ts";
import type { Shape } from "../../graph/shape.ts";
import { type RgLruAttributes, SMALLEST_FACTOR } from "./op.ts";

/** 1 where a token is the first of its sequence, else √(1 − a²), from log a; [B, T, D]. */
export function damping(logA: Value, first: Value, emit: OnnxEmitter): Value {
  const factor = present(
    emit.withAdjoint(
      [logA],
      () => [root(logA, emit)],
      ([g]) => [slope(g)],
    )[0],
    "factor",
  );
  return emit.node("Where", [emit.node("Unsqueeze", [first, emit.integers([2])]), emit.floats([1]), factor]);

  /** −a² / √(1 − a²), which would grow without bound as the decay goes to 1, limited as in our own graphs. */
  function slope(gradient: Value | undefined): Value {
    const { mul, div, exp, max } = arithmetic(emit);
    const steepest = max(factor, emit.floats([SMALLEST_FACTOR]));
    const squared = exp(mul(logA, emit.floats([2])));
    return div(mul(present(gradient, "gradient"), mul(squared, emit.floats([-1]))), steepest);
  }
}

/** √(1 − e^2x) = √(−tanh(x) · (1 + e^2x)), without cancellation where a is close to 1. */
function root(x: Value, emit: OnnxEmitter): Value {
  const { add, mul, exp } = arithmetic(emit);
  const squared = exp(mul(x, emit.floats([2])));
  const small = emit.node("Tanh", [emit.node("Neg", [x])]);
  return emit.node("Sqrt", [mul(small, add(squared, emit.floats([1])))]);
}

/** Which tokens are the first of their sequence, bool [B or 1, T]. */
export function firstTokens(shape: Shape, position: Value | undefined, emit: OnnxEmitter): Value {
  const zero = emit.integer(0);
  if (emit.sequence !== undefined) return emit.node("Equal", [emit.sequence.positions, zero]);
  const axis = emit.integers([0]);
  const count = emit.node("Squeeze", [emit.sizes(shape.slice(1, 2)), axis]);
  const counted = emit.node("Unsqueeze", [emit.node("Range", [zero, count, emit.integer(1)]), axis]);
  const at =
    position === undefined
      ? counted
      : emit.node("Add", [counted, emit.node("Unsqueeze", [position, emit.integers([1])])]);
  return emit.node("Equal", [at, zero]);
}

export const toPortableOnnx: OnnxLowering<RgLruAttributes> = ({ tensors, inputs }, emit) => {
  const { shape } = present(tensors[0], "x");
  const { mul, exp, slice, squeeze } = arithmetic(emit);
  const [x, logA, position, h0] = inputs;
  const logs = present(logA, "log_a");
  const factor = damping(logs, firstTokens(shape, position, emit), emit);
  const states = decayingStates(
    {
      shape,
      decay: exp(masked(logs, 1, emit)),
      input: masked(mul(present(x, "x"), factor), 1, emit),
      initial: h0,
    },
    emit,
  );
  return [states, squeeze(slice(states, TIME, -1, END), TIME)];
};
