// rg_lru in ONNX: a LinearAttention whose states are single numbers. The first token of a sequence enters undamped.
import { type OnnxEmitter, type OnnxLowering, present, type Value } from "../../formats/onnx/lowering.ts";
import { masked, recurrence } from "../../formats/onnx/recurrence.ts";
import { fixedDimAt, type Shape } from "../../graph/shape.ts";
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

export const toOnnx: OnnxLowering<RgLruAttributes> = ({ tensors, inputs }, emit) => {
  const { shape } = present(tensors[0], "x");
  const channels = fixedDimAt(shape, 2);
  const [x, logA, position, h0] = inputs;
  const [batch = 1, time = 1] = shape;
  const factor = damping(present(logA, "log_a"), firstTokens(shape, position, emit), emit);
  const one = emit.node("Expand", [emit.floats([1]), emit.sizes([batch, time, 1])]);
  const { output, state } = recurrence(
    {
      rule: "gated",
      query: one,
      key: one,
      value: masked(emit.node("Mul", [x, factor]), 1, emit),
      past: h0 && emit.reshape(h0, [batch, channels], [batch, channels, 1, 1]),
      decay: masked(present(logA, "log_a"), 1, emit),
      beta: undefined,
      scale: 1,
      queryHeads: 1,
      heads: channels,
    },
    emit,
  );
  return [output, emit.reshape(present(state, "hT"), [batch, channels, 1, 1], [batch, channels])];
};
