// causal_conv_gradient: the backward pass of causal_conv.
import { formatShape, GraphError, sameShape } from "../../graph/shape.ts";
import { apply, type OpDefinition, type Tensor } from "../../graph/types.ts";
import { type CausalConvAttributes, checkCausalConv } from "../causal-conv/op.ts";

/** Inputs x, w, bias?, past?, dy?, dpresent?; outputs dx, dw, dbias, dpast, whether or not there were bias and past. */
export const causalConvGradientOp: OpDefinition<CausalConvAttributes> = {
  name: "causal_conv_gradient",
  infer: (inputs) => {
    const op = "causal_conv_gradient";
    const { sequence, weight, channels, window } = checkCausalConv(op, inputs.slice(0, 4));
    const given = [
      ["dy", inputs[4], sequence],
      ["dpresent", inputs[5], window],
    ] as const;
    for (const [name, tensor, shape] of given) {
      if (tensor !== undefined && !sameShape(tensor.shape, shape)) {
        throw new GraphError(`${op}: ${name} ${formatShape(tensor.shape)} is not ${formatShape(shape)}`);
      }
    }
    return [sequence, weight, channels, window].map((shape) => ({ shape, dtype: "f32" }));
  },
  flops: ([x, w], _, { activation }) => {
    const elements = x?.shape.reduce((n, d) => n * d, 1) ?? 0;
    const taps = w?.shape[1] ?? 0;
    return elements * (4 * taps + 1 + (activation === "silu" ? 2 * taps + 9 : 0));
  },
};

export interface CausalConvGradientInputs {
  readonly x: Tensor;
  readonly w: Tensor;
  readonly bias: Tensor | undefined;
  readonly past: Tensor | undefined;
  /** Gradient of y; zero when absent. */
  readonly dy: Tensor | undefined;
  /** Gradient of the window left behind; zero when absent. */
  readonly dpresent: Tensor | undefined;
}

/**
 * With r the rows of (past, x) and g = dy · activation'(bias + Σₖ w[k] r[t+k]),
 *
 *     dr[j] = Σₖ w[k] · g[j-k] (+ dpresent),   dw[k] = Σₜ g[t] · r[t+k],   dbias = Σₜ g[t]
 *
 * summed over the batch for w and bias. Returns [dx, dw, dbias, dpast].
 */
export function causalConvGradient(
  inputs: CausalConvGradientInputs,
  attributes: CausalConvAttributes,
): readonly Tensor[] {
  const { x, w, bias, past, dy, dpresent } = inputs;
  return apply(causalConvGradientOp, [x, w, bias, past, dy, dpresent], attributes);
}
