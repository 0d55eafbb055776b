// diagonal_scan as a Scan: a complex product and an addition for each mode. A token that is padding leaves the state as it is.
import { cast } from "../../formats/onnx/forms/cast.ts";
import { initial, scan, sumOver, unsqueeze } from "../../formats/onnx/forms/scan.ts";
import { type OnnxLowering, present } from "../../formats/onnx/lowering.ts";
import { complexParts, complexProduct, discretised } from "../s4d-kernel/onnx-parameters.ts";
import type { DiagonalScanAttributes } from "./op.ts";

export const toScan: OnnxLowering<DiagonalScanAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const [u, logDt, logReal, imaginary, c, h0] = inputs;
  const parameters = [present(logDt, "log_dt"), present(logReal, "A_log_real"), present(imaginary, "A_imag")] as const;
  const { decay, drive } = discretised(parameters, attributes.discretization, emit);
  const weight = complexProduct(complexParts(present(c, "C"), emit), drive, emit);
  const { sequence } = emit;
  const mask = sequence && unsqueeze(sequence.tokenMask, [2, 3, 4], emit);
  const { states, outputs: read } = scan(
    {
      states: { h: initial(h0, present(outputs[1], "hT").shape, emit) },
      tokens: { u, mask },
      step(value) {
        const { re, im } = complexProduct(complexParts(value("h"), emit), decay, emit);
        const next = { re: emit.node("Add", [re, unsqueeze(value("u"), [2], emit)]), im };
        const parts = [next.re, next.im].map((part) => unsqueeze(part, [-1], emit));
        let h = emit.node("Concat", parts, { attributes: { axis: -1 } });
        if (mask !== undefined) {
          const isReal = cast(value("mask"), "bool", emit);
          h = emit.node("Where", [isReal, h, value("h")]);
        }
        const sum = sumOver(complexProduct(weight, next, emit).re, 2, emit);
        return { states: { h }, outputs: [emit.node("Mul", [sum, emit.floats([2])])] };
      },
    },
    emit,
  );
  return [read[0], states[0]];
};
