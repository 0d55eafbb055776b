// adamw: one step of Adam with decoupled weight decay, for one parameter.
import { formatShape, GraphError, sameShape, sizeOf } from "../../graph/shape.ts";
import { apply, type OpDefinition, type Tensor } from "../../graph/types.ts";
import { required } from "../types.ts";

export interface AdamwAttributes {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  /** Decay per step, before the learning rate: the parameter shrinks by 1 − lr · weightDecay. */
  readonly weightDecay: number;
}

/** Inputs parameter, gradient, m, v, hyper [4], gradientScale? []; outputs parameter', m', v'. See {@link adamw}. */
export const adamwOp: OpDefinition<AdamwAttributes> = {
  name: "adamw",
  infer: ([parameter, gradient, m, v, hyper, scale], { beta1, beta2, eps, weightDecay }) => {
    if (parameter === undefined) throw new GraphError("adamw: parameter is missing");
    for (const [name, type] of [
      ["gradient", gradient],
      ["m", m],
      ["v", v],
    ] as const) {
      if (type === undefined || !sameShape(type.shape, parameter.shape)) {
        throw new GraphError(
          `adamw: ${name} is ${formatShape(type?.shape ?? [])}, must be ${formatShape(parameter.shape)} as the parameter`,
        );
      }
    }
    if (hyper === undefined || !sameShape(hyper.shape, [4])) throw new GraphError("adamw: hyper must be [4]");
    if (scale !== undefined && scale.shape.length > 0) throw new GraphError("adamw: gradientScale must be a scalar");
    for (const [name, beta] of [
      ["beta1", beta1],
      ["beta2", beta2],
    ] as const) {
      if (!(beta >= 0 && beta < 1)) throw new GraphError(`adamw: ${name} is ${beta}, must be in [0, 1)`);
    }
    if (!(eps >= 0) || !(weightDecay >= 0)) throw new GraphError("adamw: eps and weightDecay must not be negative");
    const type = { shape: parameter.shape, dtype: "f32" as const };
    return [type, type, type];
  },
  flops: ([parameter]) => 14 * sizeOf(parameter?.shape ?? []),
  inPlace: [
    [0, 0],
    [2, 1],
    [3, 2],
  ],
};

/**
 * AdamW (Loshchilov & Hutter 2019, algorithm 2), as in torch.optim.AdamW. All of parameter, gradient, m and v f32 of one
 * shape; hyper f32 [4] = (learning rate η, 1 − β₁ᵗ, 1 − β₂ᵗ, unused) for step t = 1, 2, …; g = gradientScale · gradient:
 *
 *     m' = β₁ m + (1 − β₁) g,   v' = β₂ v + (1 − β₂) g²
 *     p' = (1 − η λ) p − η · m' / (1 − β₁ᵗ) / (sqrt(v' / (1 − β₂ᵗ)) + eps)
 */
export function adamw(
  tensors: {
    readonly parameter: Tensor;
    readonly gradient: Tensor;
    readonly m: Tensor;
    readonly v: Tensor;
    readonly hyper: Tensor;
    readonly gradientScale?: Tensor | undefined;
  },
  attributes: AdamwAttributes,
): { readonly parameter: Tensor; readonly m: Tensor; readonly v: Tensor } {
  const { parameter, gradient, m, v, hyper, gradientScale } = tensors;
  const outputs = apply(adamwOp, [parameter, gradient, m, v, hyper, gradientScale], attributes);
  return { parameter: required(outputs[0], "parameter"), m: required(outputs[1], "m"), v: required(outputs[2], "v") };
}
