// causal_conv for onnxruntime: its CausalConvWithState, whose window is that of the model's port, at every length. SiLU is a node
// of its own: that operator computes it number by number, which takes longer than the convolution where there are many tokens.
import { type OnnxLowering, present } from "../../formats/onnx/lowering.ts";
import { masked } from "../../formats/onnx/recurrence.ts";
import { fixedDimAt } from "../../graph/shape.ts";
import type { CausalConvAttributes } from "./op.ts";

/** Kernels [channels, taps] after a tap of 0. */
function withIdleTap(values: Float32Array, taps: number): Float32Array {
  const channels = values.length / taps;
  const result = new Float32Array(channels * (taps + 1));
  for (let c = 0; c < channels; c++) result.set(values.subarray(c * taps, (c + 1) * taps), c * (taps + 1) + 1);
  return result;
}

export const toOrtOnnx: OnnxLowering<CausalConvAttributes> = ({ tensors, inputs, outputs, attributes }, emit) => {
  const weight = present(tensors[1], "w");
  const [channels, taps] = [fixedDimAt(weight.shape, 0), fixedDimAt(weight.shape, 1)];
  const [, , bias, past] = inputs;
  const exchanged = (x: string): string => emit.node("Transpose", [x], { attributes: { perm: [0, 2, 1] } });
  const [, next] = outputs;
  // The window of a port has a column more than there are tokens to see; a tap of 0 meets it.
  const port = tensors[3] && emit.windows.past.get(tensors[3]);
  const idle = port && emit.derived(tensors[1], "idle-tap", [channels, 1, taps + 1], (w) => withIdleTap(w, taps));
  const whole = port !== undefined && idle !== undefined;
  const window = whole ? port : past && exchanged(past);
  const kernel = idle ?? emit.reshape(present(inputs[1], "w"), weight.shape, [channels, 1, taps]);
  const tokens = present(inputs[0], "x");
  const columns = exchanged(emit.isZeroForPadding(tensors[0]) ? tokens : masked(tokens, 1, emit));
  const [y, after] = emit.nodes("CausalConvWithState", [columns, kernel, bias, window], 2, { contrib: true });
  const activated =
    attributes.activation === "silu" ? emit.node("Mul", [y, emit.node("Sigmoid", [y])]) : present(y, "y");
  let recent = present(after, "present");
  if (whole && next !== undefined) {
    emit.windows.present.set(next, recent);
    recent = emit.node("Slice", [recent, ...[1, taps, 2].map((n) => emit.integers([n]))]);
  }
  return [exchanged(activated), exchanged(recent)];
};
