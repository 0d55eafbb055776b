// slice in ONNX. A slice that reaches the end of its axis from a negative start ends at the largest index there is. Slices that
// share a tensor out among themselves are one Split.
import { type OnnxEmitter, type OnnxLowering, present } from "../../formats/onnx/lowering.ts";
import type { Tensor } from "../../graph/types.ts";
import { type SliceAttributes, sliceOp, sliceStart } from "./op.ts";

const TO_THE_END = Number.MAX_SAFE_INTEGER;

/** The parts, in order, that all slices of `x` along `axis` are together; undefined where they overlap or leave gaps. */
function partsOf(
  x: Tensor,
  axis: number,
  emit: OnnxEmitter,
): { readonly starts: number[]; readonly sizes: number[] } | undefined {
  const size = x.shape[axis];
  if (typeof size !== "number") return undefined;
  const parts = new Map<number, number>();
  for (const { op, attributes } of emit.readersOf(x)) {
    const part = attributes as SliceAttributes;
    if (op.name !== sliceOp.name || part.axis !== axis) continue;
    const start = sliceStart(part.start, size);
    if ((parts.get(start) ?? part.length) !== part.length) return undefined;
    parts.set(start, part.length);
  }
  const starts = [...parts.keys()].sort((a, b) => a - b);
  const sizes = starts.map((start) => parts.get(start) ?? 0);
  let end = 0;
  for (const [i, start] of starts.entries()) {
    if (start !== end) return undefined;
    end += sizes[i] ?? 0;
  }
  return end === size && starts.length > 1 ? { starts, sizes } : undefined;
}

export const toOnnx: OnnxLowering<SliceAttributes> = ({ tensors, inputs, attributes }, emit) => {
  const { axis, start, length } = attributes;
  const x = present(tensors[0], "x");
  const value = present(inputs[0], "x");
  const parts = partsOf(x, axis, emit);
  if (parts === undefined) {
    const end = start < 0 && start + length === 0 ? TO_THE_END : start + length;
    return [emit.node("Slice", [value, emit.integers([start]), emit.integers([end]), emit.integers([axis])])];
  }
  const all = emit.onceAll(`parts ${value} ${axis}`, () =>
    emit.nodes("Split", [value, emit.integers(parts.sizes)], parts.sizes.length, { attributes: { axis } }),
  );
  return [all[parts.starts.indexOf(sliceStart(start, Number(x.shape[axis])))]];
};
