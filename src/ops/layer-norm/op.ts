// layer_norm: normalisation to zero mean and unit variance, with the residual addition before it.
import { GraphError, sizeOf } from "../../graph/shape.ts";
import { apply, applyOne, type OpDefinition, outputOf, type Tensor } from "../../graph/types.ts";
import { checkNormInputs } from "../rms-norm/op.ts";
import { required } from "../types.ts";

export interface LayerNormAttributes {
  /** Added to the variance. */
  readonly eps: number;
}

/** Inputs x, weight?, bias?, residual?; outputs y and, where there is a residual, sum. See {@link layerNorm}. */
export const layerNormOp: OpDefinition<LayerNormAttributes> = {
  name: "layer_norm",
  infer: ([x, weight, bias, residual], { eps }) => {
    const type = checkNormInputs(
      "layer_norm",
      x,
      [
        ["weight", weight],
        ["bias", bias],
      ],
      [["residual", residual]],
    );
    if (!(eps >= 0)) throw new GraphError(`layer_norm: eps is ${eps}, must not be negative`);
    return residual === undefined ? [type] : [type, type];
  },
  flops: ([, weight, bias, residual], [y]) =>
    sizeOf(y?.shape ?? []) * (6 + (weight ? 1 : 0) + (bias ? 1 : 0) + (residual ? 1 : 0)),
  inPlace: [
    [0, 0],
    [3, 0],
    [0, 1],
    [3, 1],
  ],
};

export interface LayerNormOptions {
  /** [C]. */
  readonly weight?: Tensor | undefined;
  /** [C]. */
  readonly bias?: Tensor | undefined;
  readonly eps: number;
}

/**
 * Layer normalisation (Ba et al. 2016) of x f32 [.., C] over its last axis:
 * y = (x − mean) / sqrt(variance + eps) · weight + bias, with the biased variance. Returns y [.., C].
 */
export function layerNorm(x: Tensor, options: LayerNormOptions): Tensor {
  return applyOne(layerNormOp, [x, options.weight, options.bias], { eps: options.eps });
}

/** {@link layerNorm} of sum = x + residual; returns both, each [.., C]. */
export function addLayerNorm(
  x: Tensor,
  residual: Tensor,
  options: LayerNormOptions,
): { readonly y: Tensor; readonly sum: Tensor } {
  const outputs = apply(layerNormOp, [x, options.weight, options.bias, residual], { eps: options.eps });
  const y = required(outputs[0], "y");
  return { y, sum: outputOf(y, 1) };
}
