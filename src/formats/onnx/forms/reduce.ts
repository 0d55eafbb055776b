// Reductions, which take their axes as an attribute up to opset 17 and as an input from 18 on; ReduceSum always as an input.
import { dialectFacts, type OnnxEmitter, type Value } from "../lowering.ts";

export type Reduction = "ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceSumSquare";

export function reduceOver(
  operator: Reduction,
  x: Value | undefined,
  axes: readonly number[],
  keepDims: boolean,
  emit: OnnxEmitter,
): Value {
  const keepdims = keepDims ? 1 : 0;
  if (operator === "ReduceSum" || dialectFacts[emit.dialect].opset >= 18)
    return emit.node(operator, [x, emit.integers(axes)], { attributes: { keepdims } });
  return emit.node(operator, [x], { attributes: { keepdims, axes } });
}
