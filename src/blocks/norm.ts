// Norm layers of a spec as graph ops.
import { fixedDimAt } from "../graph/shape.ts";
import type { Tensor } from "../graph/types.ts";
import { layerNorm } from "../ops/layer-norm/op.ts";
import { type RmsNormOptions, rmsNorm } from "../ops/rms-norm/op.ts";
import type { NormSpec } from "../spec/types.ts";
import type { BlockContext } from "./context.ts";

/**
 * Applies `spec` over the last axis of x, with parameters `<name>.weight` and `<name>.bias` of its size; null leaves x as
 * it is. With `groups`, the mean square is taken over each of that many slices of the axis.
 */
export function applyNorm(x: Tensor, spec: NormSpec | null, name: string, context: BlockContext, groups = 1): Tensor {
  if (spec === null) return x;
  const size = fixedDimAt(x.shape, -1);
  const { eps } = spec;
  if (spec.type === "layer_norm") {
    const weight = normWeight(spec, name, size, context);
    const bias = spec.bias ? context.bias(`${name}.bias`, size) : undefined;
    return layerNorm(x, { eps, weight, bias });
  }
  return rmsNorm(x, { ...rmsOptions(spec, name, size, context), groups });
}

/** Weight and mode of an RMS norm over `size` channels. */
function rmsOptions(spec: NormSpec, name: string, size: number, context: BlockContext): RmsNormOptions {
  const weight = normWeight(spec, name, size, context);
  if (weight === undefined) return { eps: spec.eps };
  return { eps: spec.eps, weight, mode: spec.weight === "one_plus" ? "one_plus_weight" : "weight" };
}

function normWeight(spec: NormSpec, name: string, size: number, context: BlockContext): Tensor | undefined {
  if (spec.weight === "none") return undefined;
  const kind = spec.weight === "one_plus" ? "zeros" : "ones";
  return context.parameter(`${name}.weight`, [size], { kind }, { decay: false });
}
