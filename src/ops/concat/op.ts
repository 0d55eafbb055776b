// concat: tensors one after the other along an axis.
import { type Dim, fixedDimAt, formatShape, GraphError } from "../../graph/shape.ts";
import { applyOne, type OpDefinition, type Tensor } from "../../graph/types.ts";

export interface ConcatAttributes {
  readonly axis: number;
}

/** Inputs of equal shape but for `axis`, whose lengths (numbers) add up. */
export const concatOp: OpDefinition<ConcatAttributes> = {
  name: "concat",
  infer: (inputs, { axis }) => {
    const [first] = inputs;
    if (first === undefined) throw new GraphError("concat: input 0 is missing");
    let total = 0;
    for (const type of inputs) {
      const fits =
        type?.shape.length === first.shape.length && type.shape.every((dim, i) => i === axis || dim === first.shape[i]);
      if (type === undefined || !fits) {
        throw new GraphError(
          `concat: ${inputs.map((t) => formatShape(t?.shape ?? [])).join(", ")} differ outside axis ${axis}`,
        );
      }
      total += fixedDimAt(type.shape, axis);
    }
    return [{ shape: first.shape.map((dim, i): Dim => (i === axis ? total : dim)), dtype: first.dtype }];
  },
  flops: () => 0,
};

export function concat(inputs: readonly Tensor[], axis: number): Tensor {
  const [first] = inputs;
  if (first !== undefined && inputs.length === 1) return first;
  return applyOne(concatOp, inputs, { axis: axis < 0 ? axis + (first?.shape.length ?? 0) : axis });
}
