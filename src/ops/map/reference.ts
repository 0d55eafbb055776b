// Reference for map: walk the output's index space; a broadcast input has stride 0 along stretched axes.
import { evaluate } from "../../graph/expression.ts";
import { broadcastShapes } from "../../graph/shape.ts";
import { hostZeros, type Reference, required } from "../types.ts";
import type { MapAttributes } from "./op.ts";

export const reference: Reference<MapAttributes> = (inputs, { expression }) => {
  const operands = inputs.map((tensor) => required(tensor, "map input"));
  const output = hostZeros(broadcastShapes(operands.map((o) => o.shape)) as number[]);
  const strides = operands.map((operand) => broadcastStrides(operand.shape, output.shape));
  const values = new Array<number>(operands.length);
  for (let i = 0; i < output.data.length; i++) {
    for (const [j, operand] of operands.entries()) {
      let rest = i;
      let offset = 0;
      for (let axis = output.shape.length - 1; axis >= 0; axis--) {
        const dim = output.shape[axis] ?? 1;
        offset += (rest % dim) * (strides[j]?.[axis] ?? 0);
        rest = Math.floor(rest / dim);
      }
      values[j] = operand.data[offset] ?? 0;
    }
    output.data[i] = evaluate(expression, values);
  }
  return [output];
};

/** Element strides of `shape` when read with the index of `target`, right aligned; 0 along stretched axes. */
export function broadcastStrides(shape: readonly number[], target: readonly number[]): number[] {
  const strides = new Array<number>(target.length).fill(0);
  let stride = 1;
  for (let axis = 1; axis <= shape.length; axis++) {
    const dim = shape[shape.length - axis] ?? 1;
    if (dim !== 1) strides[target.length - axis] = stride;
    stride *= dim;
  }
  return strides;
}
