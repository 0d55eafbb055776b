// wkv_gradient: the sums of wkv backwards in time.
import { GraphError } from "../../graph/shape.ts";
import { apply, type OpDefinition, type Tensor } from "../../graph/types.ts";
import { required } from "../types.ts";
import { checkWkv, checkWkvInput, type WkvAttributes } from "../wkv/op.ts";

/** Inputs k, v, w, u, states, sT?, dy?, dsT?; outputs dk, dv, dw, du, ds0. See {@link wkvGradient}. */
export const wkvGradientOp: OpDefinition<WkvAttributes> = {
  name: "wkv_gradient",
  infer: (inputs) => {
    const op = "wkv_gradient";
    const shapes = checkWkv(op, inputs);
    const [, , , , states, sT, dy, dsT] = inputs;
    if (states === undefined) throw new GraphError(`${op}: states is missing`);
    if ((sT === undefined) !== (dsT === undefined)) throw new GraphError(`${op}: sT and dsT belong together`);
    checkWkvInput(op, "states", states, shapes.states);
    checkWkvInput(op, "sT", sT, shapes.state);
    checkWkvInput(op, "dy", dy, shapes.sequence);
    checkWkvInput(op, "dsT", dsT, shapes.state);
    const { sequence, channels, state } = shapes;
    return [sequence, sequence, channels, channels, state].map((shape) => ({ shape, dtype: "f32" }));
  },
  flops: ([k]) => {
    const [batch = 0, tokens = 0, channels = 0] = k?.shape ?? [];
    return 48 * batch * tokens * channels;
  },
};

/**
 * Backward pass of `wkv` from its inputs, the states before each token, and the gradients dy of y and dsT of the final state
 * (absent: zero; the final state is needed with it). Walking back from the last token with the gradients of num and den, scaled
 * by e^o as the state is by e^-o, and that of o itself, which is only of use to whoever looks at a state: y does not depend on
 * it. Results: dk, dv [B, T, D]; dw, du [B, D], to be summed over rows; ds0 [B, 3, D].
 */
export function wkvGradient(inputs: {
  readonly k: Tensor;
  readonly v: Tensor;
  readonly w: Tensor;
  readonly u: Tensor;
  readonly states: Tensor;
  readonly finalState?: Tensor | undefined;
  readonly dy?: Tensor | undefined;
  readonly dsT?: Tensor | undefined;
}): Readonly<Record<"dk" | "dv" | "dw" | "du" | "ds0", Tensor>> {
  const { k, v, w, u, states, finalState, dy, dsT } = inputs;
  const [dk, dv, dw, du, ds0] = apply(wkvGradientOp, [k, v, w, u, states, finalState, dy, dsT], {});
  return {
    dk: required(dk, "wkv_gradient dk"),
    dv: required(dv, "wkv_gradient dv"),
    dw: required(dw, "wkv_gradient dw"),
    du: required(du, "wkv_gradient du"),
    ds0: required(ds0, "wkv_gradient ds0"),
  };
}
