// causal_conv by primitives: a depthwise Conv over the window and the tokens joined, at every length; the end of what is joined is
// the next window. Tokens that are padding enter as zeros, which is what the window holds before the first token.
import { type OnnxEmitter, type OnnxLowering, present, type Value } from "../../formats/onnx/lowering.ts";
import { fixedDimAt } from "../../graph/shape.ts";
import type { CausalConvAttributes } from "./op.ts";

const END = Number.MAX_SAFE_INTEGER;

/** [B, T, C] with time last, and back. */
const exchanged = (x: Value, emit: OnnxEmitter): Value =>
  emit.node("Transpose", [x], { attributes: { perm: [0, 2, 1] } });

export const toPortableOnnx: OnnxLowering<CausalConvAttributes> = ({ tensors, inputs, attributes }, emit) => {
  const x = present(tensors[0], "x");
  const weight = present(tensors[1], "w");
  const [channels, taps] = [fixedDimAt(weight.shape, 0), fixedDimAt(weight.shape, 1)];
  const [, , bias, past] = inputs;
  let tokens = present(inputs[0], "x");
  if (emit.sequence !== undefined) {
    const { tokenMask } = emit.sequence;
    tokens = emit.node("Mul", [tokens, emit.node("Unsqueeze", [tokenMask, emit.integers([2])])]);
  }
  const columns = exchanged(tokens, emit);
  const kernel = emit.reshape(present(inputs[1], "w"), weight.shape, [channels, 1, taps]);
  const window = taps - 1;
  const before =
    past === undefined
      ? emit.node("Expand", [emit.floats([0]), emit.sizes([x.shape[0] ?? 1, channels, window])])
      : exchanged(past, emit);
  const joined = taps === 1 ? columns : emit.node("Concat", [before, columns], { attributes: { axis: 2 } });
  const options = { attributes: { group: channels, kernel_shape: [taps] } };
  let y = emit.node("Conv", [joined, kernel, bias], options);
  if (attributes.activation === "silu") y = emit.node("Mul", [y, emit.node("Sigmoid", [y])]);
  const start = emit.integers([taps === 1 ? END : -window]);
  const next = emit.node("Slice", [joined, start, emit.integers([END]), emit.integers([2])]);
  return [exchanged(y, emit), exchanged(next, emit)];
};
