// selective_scan as a Scan: the recurrence as it is written. A step of length 0, which is what padding has, leaves the state
// as it is.
import { initial, scan, sumOver, unsqueeze } from "../../formats/onnx/forms/scan.ts";
import { type OnnxLowering, present } from "../../formats/onnx/lowering.ts";
import { masked } from "../../formats/onnx/recurrence.ts";
import type { SelectiveScanAttributes } from "./op.ts";

export const toScan: OnnxLowering<SelectiveScanAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const [x, rawDelta, a, b, c, skip, gate, bias, h0] = inputs;
  const biased = bias === undefined ? present(rawDelta, "delta") : emit.node("Add", [rawDelta, bias]);
  const delta = masked(attributes.deltaSoftplus ? emit.node("Softplus", [biased]) : biased, 1, emit);
  const { states, outputs: read } = scan(
    {
      states: { h: initial(h0, present(outputs[1], "hT").shape, emit) },
      tokens: { u: x, delta, b, c },
      step(value) {
        const decay = emit.node("Exp", [emit.node("Mul", [unsqueeze(value("delta"), [2], emit), a])]);
        const driven = unsqueeze(emit.node("Mul", [value("delta"), value("u")]), [2], emit);
        const write = emit.node("Mul", [driven, unsqueeze(value("b"), [1], emit)]);
        const h = emit.node("Add", [emit.node("Mul", [decay, value("h")]), write]);
        return { states: { h }, outputs: [sumOver(emit.node("Mul", [h, unsqueeze(value("c"), [1], emit)]), 2, emit)] };
      },
    },
    emit,
  );
  let y = present(read[0], "y");
  if (skip !== undefined) y = emit.node("Add", [y, emit.node("Mul", [x, skip])]);
  if (gate !== undefined) y = emit.node("Mul", [y, emit.node("Mul", [gate, emit.node("Sigmoid", [gate])])]);
  return [y, states[0]];
};
