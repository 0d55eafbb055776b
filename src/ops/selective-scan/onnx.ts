// selective_scan in ONNX: Mamba-1's scan is one LinearAttention with a head for every channel, keys of d_state and values of
// one number, which all heads' queries C and keys B are shared by.
import { type OnnxForms, type OnnxLowering, present } from "../../formats/onnx/lowering.ts";
import { masked, recurrence } from "../../formats/onnx/recurrence.ts";
import { fixedDimAt } from "../../graph/shape.ts";
import { toPortableOnnx } from "./onnx-portable.ts";
import { toScan } from "./onnx-scan.ts";
import type { SelectiveScanAttributes } from "./op.ts";

const toOrt: OnnxLowering<SelectiveScanAttributes> = ({ tensors, inputs, attributes }, emit) => {
  const u = present(tensors[0], "u");
  const [batch = 1, time = 1] = u.shape;
  const rates = present(tensors[2], "A").shape;
  const [channels, states] = [fixedDimAt(rates, 0), fixedDimAt(rates, 1)];
  const [x, rawDelta, a, b, c, skip, gate, bias, h0] = inputs;
  const biased = bias === undefined ? present(rawDelta, "delta") : emit.node("Add", [rawDelta, bias]);
  // A step of length 0 leaves the state as it is: what padding is to do.
  const delta = masked(attributes.deltaSoftplus ? emit.node("Softplus", [biased]) : biased, 1, emit);
  const steps = emit.reshape(delta, u.shape, [batch, time, channels, 1]);
  const decay = emit.reshape(
    emit.node("Mul", [steps, a]),
    [batch, time, channels, states],
    [batch, time, channels * states],
  );
  const past = h0 && emit.reshape(h0, [batch, channels, states], [batch, channels, states, 1]);
  const { output, state } = recurrence(
    {
      rule: "gated",
      query: present(c, "C"),
      key: present(b, "B"),
      value: emit.node("Mul", [delta, x]),
      past,
      decay,
      beta: undefined,
      scale: 1,
      queryHeads: 1,
      heads: channels,
    },
    emit,
  );
  let y = present(output, "y");
  if (skip !== undefined) y = emit.node("Add", [y, emit.node("Mul", [x, skip])]);
  if (gate !== undefined) y = emit.node("Mul", [y, emit.node("Mul", [gate, emit.node("Sigmoid", [gate])])]);
  return [y, emit.reshape(present(state, "hT"), [batch, channels, states, 1], [batch, channels, states])];
};

export const toOnnx: OnnxForms<SelectiveScanAttributes> = { ort: toOrt, portable: toPortableOnnx, scan: toScan };
