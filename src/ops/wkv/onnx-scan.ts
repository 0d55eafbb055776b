// wkv as a Scan: the two sums relative to their largest exponent. A token that is padding leaves the state as it is.
import { cast } from "../../formats/onnx/forms/cast.ts";
import { initial, scan } from "../../formats/onnx/forms/scan.ts";
import { type OnnxLowering, present, type Value } from "../../formats/onnx/lowering.ts";
import type { WkvAttributes } from "./op.ts";

export const toScan: OnnxLowering<WkvAttributes> = ({ inputs, outputs }, emit) => {
  const [k, v, decay, bonus, s0] = inputs;
  const node = (op: string, ...values: Value[]): Value => emit.node(op, values);
  const { sequence } = emit;
  const mask = sequence && emit.node("Unsqueeze", [sequence.tokenMask, emit.integers([2, 3])]);
  const { states, outputs: read } = scan(
    {
      states: { s: initial(s0, present(outputs[1], "sT").shape, emit) },
      tokens: { k, v, mask },
      step(value) {
        const parts = emit.nodes("Split", [value("s"), emit.integers([1, 1, 1])], 3, { attributes: { axis: 1 } });
        const [num = "", den = "", most = ""] = parts.map((part) => emit.node("Squeeze", [part, emit.integers([1])]));
        // Nothing weighs nothing, whatever its exponent.
        const nothing = node("Equal", den, emit.floats([0]));
        const old = node("Where", nothing, emit.floats([Number.NEGATIVE_INFINITY]), most);
        /** e^by times the sums, and the token on top, relative to the larger exponent. */
        const taken = (by: Value | undefined, key: Value) => {
          const faded = by === undefined ? old : node("Add", old, by);
          const top = node("Max", faded, key);
          const kept = node("Exp", node("Sub", faded, top));
          const fresh = node("Exp", node("Sub", key, top));
          const sums = [
            node("Add", node("Mul", kept, num), node("Mul", fresh, value("v"))),
            node("Add", node("Mul", kept, den), fresh),
          ] as const;
          return [...sums, top] as const;
        };
        const [weighted, weights] = taken(undefined, node("Add", value("k"), present(bonus, "u")));
        const next = taken(present(decay, "w"), value("k")).map((part) =>
          emit.node("Unsqueeze", [part, emit.integers([1])]),
        );
        let s = emit.node("Concat", next, { attributes: { axis: 1 } });
        if (mask !== undefined) {
          const isReal = cast(value("mask"), "bool", emit);
          s = node("Where", isReal, s, value("s"));
        }
        return { states: { s }, outputs: [node("Div", weighted, weights)] };
      },
    },
    emit,
  );
  return [read[0], states[0]];
};
