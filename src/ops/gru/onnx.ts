// gru in ONNX: GRU with linear_before_reset, whose input projection is the identity, since ours is a product before it. ONNX
// orders its gates update, reset, new; we order them reset, update, new.
import { type OnnxEmitter, type OnnxLowering, present, type Value } from "../../formats/onnx/lowering.ts";
import { fixedDimAt } from "../../graph/shape.ts";
import type { GruAttributes } from "./op.ts";

/** Far beyond where a sigmoid is 1. */
const ALWAYS = 1e4;

/** Update gates that keep the state as it is for tokens that are padding. */
function keptForPadding(update: Value | undefined, emit: OnnxEmitter): Value | undefined {
  if (emit.sequence === undefined) return update;
  const padding = emit.node("Sub", [emit.floats([1]), emit.sequence.tokenMask]);
  const column = emit.node("Unsqueeze", [emit.node("Mul", [padding, emit.floats([ALWAYS])]), emit.integers([2])]);
  return emit.node("Add", [update, column]);
}

/** The thirds of `axis` of x in ONNX's order. */
function reordered(x: Value, size: number, axis: number, emit: OnnxEmitter, isInput = false): Value {
  const [reset, update, fresh] = emit.nodes("Split", [x, emit.integers([size, size, size])], 3, {
    attributes: { axis },
  });
  return emit.node("Concat", [isInput ? keptForPadding(update, emit) : update, reset, fresh], { attributes: { axis } });
}

export const toOnnx: OnnxLowering<GruAttributes> = ({ tensors, inputs }, emit) => {
  const size = fixedDimAt(present(tensors[1], "w_hh").shape, 1);
  const [xGates, weight, bias, h0] = inputs;
  const identity = emit.once(`identity ${3 * size}`, () => {
    const values = new Float32Array(9 * size * size);
    for (let i = 0; i < 3 * size; i++) values[i * 3 * size + i] = 1;
    return emit.floats(values, [1, 3 * size, 3 * size]);
  });
  const zeros = emit.once(`zeros ${3 * size}`, () => emit.floats(new Float32Array(3 * size), [3 * size]));
  const leading = (x: Value): Value => emit.node("Unsqueeze", [x, emit.integers([0])]);
  const steps = emit.node("Transpose", [reordered(present(xGates, "x_gates"), size, 2, emit, true)], {
    attributes: { perm: [1, 0, 2] },
  });
  const recurrent = bias === undefined ? zeros : reordered(bias, size, 0, emit);
  const biases = leading(emit.node("Concat", [zeros, recurrent], { attributes: { axis: 0 } }));
  const [y, last] = emit.nodes(
    "GRU",
    [
      steps,
      identity,
      leading(reordered(present(weight, "w_hh"), size, 0, emit)),
      biases,
      undefined,
      h0 === undefined ? undefined : leading(h0),
    ],
    2,
    { attributes: { hidden_size: size, linear_before_reset: 1 } },
  );
  const rows = emit.node("Transpose", [emit.node("Squeeze", [present(y, "y"), emit.integers([1])])], {
    attributes: { perm: [1, 0, 2] },
  });
  return [rows, emit.node("Squeeze", [last, emit.integers([0])])];
};
