// map: one expression evaluated at every element of its broadcast inputs. All elementwise work is this op.

import type { Expression } from "../../graph/expression.ts";
import * as ex from "../../graph/expression.ts";
import { broadcastShapes, GraphError, sizeOf } from "../../graph/shape.ts";
import { applyOne, type OpDefinition, type Tensor } from "../../graph/types.ts";

export interface MapAttributes {
  readonly expression: Expression;
}

/**
 * Inputs f32 of any shapes that broadcast (NumPy rules); output f32 of the broadcast shape,
 * y[i] = expression(x0[i], x1[i], …).
 */
export const mapOp: OpDefinition<MapAttributes> = {
  name: "map",
  infer: (inputs) => {
    const shapes = inputs.map((type, i) => {
      if (type === undefined) throw new GraphError(`map: input ${i} is missing`);
      if (type.dtype !== "f32") throw new GraphError(`map: input ${i} is ${type.dtype}, must be f32`);
      return type.shape;
    });
    return [{ shape: broadcastShapes(shapes), dtype: "f32" }];
  },
  flops: (_, outputs, a) => ex.complexity(a.expression).calls * sizeOf(outputs[0]?.shape ?? []),
  // A kernel reads each block of its inputs before it writes the block; only same-shaped inputs may be overwritten
  // (the planner checks that the sizes are equal).
  inPlace: Array.from({ length: 8 }, (_, i) => [i, 0] as const),
};

/** Applies `expression` to `inputs`; inputs that it does not read are dropped, equal ones merged. */
export function map(inputs: readonly Tensor[], expression: Expression): Tensor {
  const used = ex.inputsOf(expression);
  const kept: Tensor[] = [];
  const replacements = inputs.map((tensor, i) => {
    if (!used.has(i)) return ex.input(i);
    let position = kept.indexOf(tensor);
    if (position < 0) position = kept.push(tensor) - 1;
    return ex.input(position);
  });
  return applyOne(mapOp, kept, { expression: ex.substitute(expression, replacements) });
}

const x = ex.input(0);
const y = ex.input(1);

export const add = (a: Tensor, b: Tensor): Tensor => map([a, b], ex.add(x, y));
export const sub = (a: Tensor, b: Tensor): Tensor => map([a, b], ex.sub(x, y));
export const mul = (a: Tensor, b: Tensor): Tensor => map([a, b], ex.mul(x, y));
export const div = (a: Tensor, b: Tensor): Tensor => map([a, b], ex.div(x, y));
/** factor · a; a itself where the factor is 1. */
export const scale = (a: Tensor, factor: number): Tensor =>
  factor === 1 ? a : map([a], ex.mul(x, ex.literal(factor)));
/** Applies a function of one element. */
export const pointwise = (a: Tensor, f: (e: Expression) => Expression): Tensor => map([a], f(x));
