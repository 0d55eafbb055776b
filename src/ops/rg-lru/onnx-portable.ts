// rg_lru in ONNX from primitives: its vector at every token, by a scan of logarithmic depth.
import { arithmetic, END } from "../../formats/onnx/forms/arithmetic.ts";
import { decayingStates, TIME } from "../../formats/onnx/forms/decaying.ts";
import { type OnnxEmitter, type OnnxLowering, present, type Value } from "../../formats/onnx/lowering.ts";
import { masked } from "../../formats/onnx/recurrence.ts";
import type { Shape } from "../../graph/shape.ts";
import type { RgLruAttributes } from "./op.ts";

/** 1 where a token is the first of its sequence, else √(1 − a²), from log a; [B, T, D]. */
export function damping(logA: Value, first: Value, emit: OnnxEmitter): Value {
  const squared = emit.node("Exp", [emit.node("Mul", [logA, emit.floats([2])])]);
  const factor = emit.node("Sqrt", [emit.node("Sub", [emit.floats([1]), squared])]);
  return emit.node("Where", [emit.node("Unsqueeze", [first, emit.integers([2])]), emit.floats([1]), factor]);
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
