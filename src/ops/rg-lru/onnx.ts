// rg_lru in ONNX: a LinearAttention whose states are single numbers. The first token of a sequence enters undamped.
import { type OnnxForms, type OnnxLowering, present } from "../../formats/onnx/lowering.ts";
import { masked, recurrence } from "../../formats/onnx/recurrence.ts";
import { fixedDimAt } from "../../graph/shape.ts";
import { damping, firstTokens, toPortableOnnx } from "./onnx-portable.ts";
import { toScan } from "./onnx-scan.ts";
import type { RgLruAttributes } from "./op.ts";

const toOrt: OnnxLowering<RgLruAttributes> = ({ tensors, inputs }, emit) => {
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

export const toOnnx: OnnxForms<RgLruAttributes> = { ort: toOrt, portable: toPortableOnnx, scan: toScan };
