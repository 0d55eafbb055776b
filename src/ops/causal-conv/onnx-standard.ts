// causal_conv in ONNX by the standard CausalConvWithState, for two taps or more. Tokens that are padding enter as zeros, which is
// what the window holds before the first token.
import { arithmetic } from "../../formats/onnx/forms/arithmetic.ts";
import { type OnnxLowering, present } from "../../formats/onnx/lowering.ts";
import { masked } from "../../formats/onnx/recurrence.ts";
import { fixedDimAt } from "../../graph/shape.ts";
import type { CausalConvAttributes } from "./op.ts";

const EXCHANGED = [0, 2, 1] as const;

export const toStandardOnnx: OnnxLowering<CausalConvAttributes> = ({ tensors, inputs, attributes }, emit) => {
  const { transpose } = arithmetic(emit);
  const { shape } = present(tensors[1], "w");
  const [channels, taps] = [fixedDimAt(shape, 0), fixedDimAt(shape, 1)];
  const [x, weight, bias, past] = inputs;
  const columns = transpose(masked(present(x, "x"), 1, emit), EXCHANGED);
  const kernel = emit.reshape(present(weight, "w"), shape, [channels, 1, taps]);
  const before = past && transpose(past, EXCHANGED);
  const [y, next] = emit.nodes("CausalConvWithState", [columns, kernel, bias, before], 2, {
    attributes: { activation: attributes.activation },
  });
  return [transpose(present(y, "y"), EXCHANGED), transpose(present(next, "present"), EXCHANGED)];
};
