// rg_lru as a Scan: h ← a ∘ h + m ∘ x, with m of all tokens before it.
import { initial, scan } from "../../formats/onnx/forms/scan.ts";
import { type OnnxLowering, present } from "../../formats/onnx/lowering.ts";
import { masked } from "../../formats/onnx/recurrence.ts";
import { damping, firstTokens } from "./onnx-portable.ts";
import type { RgLruAttributes } from "./op.ts";

export const toScan: OnnxLowering<RgLruAttributes> = ({ tensors, inputs, outputs }, emit) => {
  const [x, logA, position, h0] = inputs;
  const first = firstTokens(present(tensors[0], "x").shape, position, emit);
  const factor = damping(present(logA, "log_a"), first, emit);
  const { states, outputs: read } = scan(
    {
      states: { h: initial(h0, present(outputs[1], "hT").shape, emit) },
      tokens: {
        log_a: masked(present(logA, "log_a"), 1, emit),
        x: masked(emit.node("Mul", [x, factor]), 1, emit),
      },
      step(value) {
        const kept = emit.node("Mul", [emit.node("Exp", [value("log_a")]), value("h")]);
        const h = emit.node("Add", [kept, value("x")]);
        return { states: { h }, outputs: [h] };
      },
    },
    emit,
  );
  return [read[0], states[0]];
};
