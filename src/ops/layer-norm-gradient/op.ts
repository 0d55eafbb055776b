// layer_norm_gradient: the backward pass of layer_norm.
import { fixedDimAt, GraphError, sizeOf } from "../../graph/shape.ts";
import { apply, type OpDefinition, type Tensor } from "../../graph/types.ts";
import type { LayerNormAttributes } from "../layer-norm/op.ts";
import { checkNormInputs } from "../rms-norm/op.ts";
import { required } from "../types.ts";

/** Inputs x (the sum where there was a residual), weight?, dy, dsum?; outputs dx [.., C], dweight [C], dbias [C]. */
export const layerNormGradientOp: OpDefinition<LayerNormAttributes> = {
  name: "layer_norm_gradient",
  infer: ([x, weight, dy, dsum]) => {
    const type = checkNormInputs(
      "layer_norm_gradient",
      x,
      [["weight", weight]],
      [
        ["dy", dy],
        ["dsum", dsum],
      ],
    );
    if (dy === undefined) throw new GraphError("layer_norm_gradient: dy is missing");
    const vector = { shape: [fixedDimAt(type.shape, -1)], dtype: "f32" as const };
    return [type, vector, vector];
  },
  flops: ([, weight], [dx]) => sizeOf(dx?.shape ?? []) * (14 + (weight ? 1 : 0)),
  inPlace: [
    [0, 0],
    [2, 0],
    [3, 0],
  ],
};

/**
 * With n = (x − mean) · r, r = 1 / sqrt(variance + eps) and e = dy · weight:
 * dx = r · (e − mean(e) − n · mean(e · n)) + dsum, dweight = Σ rows dy · n, dbias = Σ rows dy.
 */
export function layerNormGradient(
  x: Tensor,
  dy: Tensor,
  options: { readonly weight?: Tensor | undefined; readonly dsum?: Tensor | undefined },
  attributes: LayerNormAttributes,
): { readonly dx: Tensor; readonly dweight: Tensor; readonly dbias: Tensor } {
  const [dx, dweight, dbias] = apply(layerNormGradientOp, [x, options.weight, dy, options.dsum], attributes);
  return { dx: required(dx, "dx"), dweight: required(dweight, "dweight"), dbias: required(dbias, "dbias") };
}
