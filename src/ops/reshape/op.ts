// reshape: the same elements in the same order under another shape. Costs nothing: the output is a view of the input.
import { bindShape, formatShape, GraphError, type Shape, sameShape } from "../../graph/shape.ts";
import { applyOne, type OpDefinition, type Tensor } from "../../graph/types.ts";

export interface ReshapeAttributes {
  readonly shape: Shape;
}

/** x of any dtype → the same elements as `shape`. The symbols of both shapes must be the same. */
export const reshapeOp: OpDefinition<ReshapeAttributes> = {
  name: "reshape",
  view: true,
  infer: ([x], { shape }) => {
    if (x === undefined) throw new GraphError("reshape: input is missing");
    if (signature(x.shape) !== signature(shape)) {
      throw new GraphError(
        `reshape: ${formatShape(x.shape)} cannot become ${formatShape(shape)}: the element counts differ`,
      );
    }
    return [{ shape, dtype: x.dtype }];
  },
  bind: ({ shape }, bindings) => ({ shape: bindShape(shape, bindings) }),
  flops: () => 0,
  bytes: () => 0,
};

function signature(shape: Shape): string {
  let product = 1;
  const symbols: string[] = [];
  for (const dim of shape) {
    if (typeof dim === "number") product *= dim;
    else symbols.push(dim);
  }
  return `${product} ${symbols.sort().join(" ")}`;
}

export function reshape(x: Tensor, shape: Shape): Tensor {
  return sameShape(x.shape, shape) ? x : applyOne(reshapeOp, [x], { shape });
}
