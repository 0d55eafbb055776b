// group_rows in ONNX: for each expert NonZero lists its rows; the lists one after the other are the order.
import { cast } from "../../formats/onnx/forms/cast.ts";
import { type OnnxEmitter, type OnnxLowering, present, type Value } from "../../formats/onnx/lowering.ts";
import type { GroupRowsAttributes } from "./op.ts";

/** The rows that chose `expert`, counted through all axes of `indices`: int64 [n]. */
export function rowsOf(indices: Value, expert: number, emit: OnnxEmitter): Value {
  const flat = emit.once(`flat ${indices}`, () => emit.node("Reshape", [indices, emit.integers([-1])]));
  return emit.once(`rows ${indices} ${expert}`, () => {
    const chosen = emit.node("Equal", [flat, emit.integer(expert)]);
    return emit.node("Squeeze", [emit.node("NonZero", [chosen]), emit.integers([0])]);
  });
}

export const toOnnx: OnnxLowering<GroupRowsAttributes> = ({ tensors, inputs, attributes: { experts } }, emit) => {
  const indices = present(inputs[0], "indices");
  const { shape } = present(tensors[0], "indices");
  const lists = Array.from({ length: experts }, (_, expert) => rowsOf(indices, expert, emit));
  const joined = (values: readonly Value[]): Value => emit.node("Concat", values, { attributes: { axis: 0 } });
  const order = emit.node("Reshape", [joined(lists), emit.sizes(shape)]);
  const counts = joined(lists.map((list) => emit.node("Shape", [list])));
  const ends = emit.node("CumSum", [counts, emit.integer(0)]);
  return [order, joined([emit.integers([0]), ends]), cast(counts, "f32", emit)];
};
