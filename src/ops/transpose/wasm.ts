// Launch of transpose (kernels/layout): a copy of rows where the last axis stays, else tiles of the plane spanned by the
// two last axes, the source's and the target's.
import { sizeOf } from "../../graph/shape.ts";
import type { WasmLowering } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import type { TransposeAttributes } from "./op.ts";

/** An axis of the target: its length, and the strides along it in source and target. */
export interface TransposedAxis {
  readonly size: number;
  readonly source: number;
  readonly target: number;
}

/** The target's axes, outermost first, without those of length 1; axes that stay neighbours are one. */
export function transposedAxes(shape: readonly number[], permutation: readonly number[]): TransposedAxis[] {
  const strideOf = (axis: number): number => sizeOf(shape.slice(axis + 1));
  const merged: { size: number; source: number }[] = [];
  for (const axis of permutation) {
    const size = shape[axis] ?? 1;
    if (size === 1) continue;
    const source = strideOf(axis);
    const last = merged.at(-1);
    if (last !== undefined && last.source === source * size) {
      last.size *= size;
      last.source = source;
    } else merged.push({ size, source });
  }
  return merged.map((axis, i) => ({ ...axis, target: sizeOf(merged.slice(i + 1).map((a) => a.size)) }));
}

export const lower: WasmLowering<TransposeAttributes> = ({ inputs, outputs, attributes: { permutation } }, emit) => {
  const x = required(inputs[0], "transpose input");
  const axes = transposedAxes(x.shape, permutation);
  const inner = axes.pop();
  if (inner === undefined || (axes.length === 0 && inner.source === 1)) {
    emit.command("copy", [x, outputs[0], sizeOf(x.shape)]);
    return;
  }
  if (inner.source === 1) {
    const rows = axes.reverse();
    const words = rows.flatMap(({ size, source }) => [size, source]);
    emit.command("permute_rows", [x, outputs[0], inner.size, rows.length, sizeOf(rows.map((a) => a.size)), ...words]);
    return;
  }
  const other = required(
    axes.find((axis) => axis.source === 1),
    "the source's last axis",
  );
  const batch = axes.filter((axis) => axis !== other).reverse();
  emit.command("transpose", [
    ...[x, outputs[0], inner.size, other.size, inner.source, other.target],
    ...[batch.length, sizeOf(batch.map((a) => a.size))],
    ...batch.flatMap(({ size, source, target }) => [size, source, target]),
  ]);
};
