// rms_norm_gradient: the backward pass of rms_norm.
import { GraphError, sizeOf } from "../../graph/shape.ts";
import { apply, type OpDefinition, type Tensor } from "../../graph/types.ts";
import { checkNormInputs, checkRmsNorm, type RmsNormAttributes } from "../rms-norm/op.ts";
import { required } from "../types.ts";

/**
 * Inputs x (the sum where there was a residual), weight?, gate?, dy, dsum?; outputs dx [.., C], then dweight [C] where
 * there is a weight, then dgate [.., C] where there is a gate.
 */
export const rmsNormGradientOp: OpDefinition<RmsNormAttributes> = {
  name: "rms_norm_gradient",
  infer: ([x, weight, gate, dy, dsum], attributes) => {
    const op = "rms_norm_gradient";
    const type = checkNormInputs(
      op,
      x,
      [["weight", weight]],
      [
        ["gate", gate],
        ["dy", dy],
        ["dsum", dsum],
      ],
    );
    checkRmsNorm(op, type, weight, attributes);
    if (dy === undefined) throw new GraphError(`${op}: dy is missing`);
    return [
      type,
      ...(weight === undefined ? [] : [{ shape: weight.shape, dtype: "f32" as const }]),
      ...(gate === undefined ? [] : [type]),
    ];
  },
  flops: ([, weight, gate], [dx]) => sizeOf(dx?.shape ?? []) * (8 + (weight ? 4 : 0) + (gate ? 12 : 0)),
  inPlace: [
    [0, 0],
    [3, 0],
    [4, 0],
  ],
};

/**
 * With u, n(u) and w as in {@link rmsNorm}, r = 1 / sqrt(mean(u²) + eps) and e = ∂loss/∂n(u):
 *
 *     du = r · (e − u · r² · mean(e · u)),   dweight = Σ rows scale · dy · n(u) (· act(gate) after the norm)
 *
 * dx is du through the gate, plus dsum. Returns tensors shaped like x, weight and gate.
 */
export function rmsNormGradient(
  x: Tensor,
  dy: Tensor,
  options: {
    readonly weight?: Tensor | undefined;
    readonly gate?: Tensor | undefined;
    readonly dsum?: Tensor | undefined;
  },
  attributes: RmsNormAttributes,
): { readonly dx: Tensor; readonly dweight: Tensor | undefined; readonly dgate: Tensor | undefined } {
  const { weight, gate, dsum } = options;
  const [dx, ...others] = apply(rmsNormGradientOp, [x, weight, gate, dy, dsum], attributes);
  return {
    dx: required(dx, "dx"),
    dweight: weight === undefined ? undefined : others[0],
    dgate: gate === undefined ? undefined : others.at(-1),
  };
}
