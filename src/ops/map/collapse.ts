// The index space of a map with as few axes as its operands allow.
import { broadcastStrides } from "./reference.ts";

/** An index space with adjacent axes merged where every operand allows it, innermost first. */
export interface CollapsedSpace {
  readonly sizes: readonly number[];
  /** Element strides of each operand along `sizes`. */
  readonly strides: readonly (readonly number[])[];
}

/** Merges axes of `shape` that operands of the given (broadcast) shapes walk as one. */
export function collapse(shape: readonly number[], operands: readonly (readonly number[])[]): CollapsedSpace {
  const full = operands.map((operand) => broadcastStrides(operand, shape));
  const sizes: number[] = [];
  const strides: number[][] = operands.map(() => []);
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const size = shape[axis] ?? 1;
    if (size === 1) continue;
    const last = sizes.length - 1;
    const merges = last >= 0 && full.every((s, i) => s[axis] === (strides[i]?.[last] ?? 0) * (sizes[last] ?? 1));
    if (merges) sizes[last] = (sizes[last] ?? 1) * size;
    else {
      sizes.push(size);
      for (const [i, s] of full.entries()) strides[i]?.push(s[axis] ?? 0);
    }
  }
  if (sizes.length === 0) return { sizes: [1], strides: operands.map(() => [0]) };
  return { sizes, strides };
}
