// selective_scan in ONNX from primitives: every state of every channel at every token, by a scan of logarithmic depth.
import { arithmetic, END } from "../../formats/onnx/forms/arithmetic.ts";
import { decayingStates, TIME } from "../../formats/onnx/forms/decaying.ts";
import { type OnnxLowering, present } from "../../formats/onnx/lowering.ts";
import { masked } from "../../formats/onnx/recurrence.ts";
import { fixedDimAt } from "../../graph/shape.ts";
import type { SelectiveScanAttributes } from "./op.ts";

export const toPortableOnnx: OnnxLowering<SelectiveScanAttributes> = ({ tensors, inputs, attributes }, emit) => {
  const { add, mul, exp, matMul, slice, unsqueeze, squeeze } = arithmetic(emit);
  const [x, rawDelta, a, b, c, skip, gate, bias, h0] = inputs;
  const u = present(x, "u");
  const { shape } = present(tensors[0], "u");
  const biased = bias === undefined ? present(rawDelta, "delta") : add(present(rawDelta, "delta"), bias);
  // A step of length 0 leaves the state as it is: what padding is to do.
  const delta = masked(attributes.deltaSoftplus ? emit.node("Softplus", [biased]) : biased, 1, emit);
  const states = decayingStates(
    {
      shape: [...shape, fixedDimAt(present(tensors[2], "A").shape, 1)],
      decay: exp(mul(unsqueeze(delta, 3), present(a, "A"))),
      input: mul(unsqueeze(mul(delta, u), 3), unsqueeze(present(b, "B"), 2)),
      initial: h0,
    },
    emit,
  );
  let y = squeeze(matMul(states, unsqueeze(present(c, "C"), 3)), 3);
  if (skip !== undefined) y = add(y, mul(u, skip));
  if (gate !== undefined) y = mul(y, mul(gate, emit.node("Sigmoid", [gate])));
  return [y, squeeze(slice(states, TIME, -1, END), TIME)];
};
