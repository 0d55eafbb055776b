// gru_gradient: the recurrence of gru backwards in time.
import { dimAt, fixedDimAt, GraphError, type Shape } from "../../graph/shape.ts";
import { apply, type OpDefinition, type Tensor } from "../../graph/types.ts";
import { checkGruInput, type GruAttributes } from "../gru/op.ts";
import { required } from "../types.ts";

/** Inputs w_hh, y, gates, h0?, dy?, dhT?; outputs dx, dGates, dh0, previous. See {@link gruGradient}. */
export const gruGradientOp: OpDefinition<GruAttributes> = {
  name: "gru_gradient",
  infer: ([w, y, gates, h0, dy, dhT]) => {
    const op = "gru_gradient";
    if (w === undefined || y === undefined || gates === undefined)
      throw new GraphError(`${op}: w_hh, y or gates is missing`);
    const hidden = fixedDimAt(w.shape, 1);
    const [batch, time] = [dimAt(y.shape, 0), dimAt(y.shape, 1)];
    const sequence: Shape = [batch, time, hidden];
    checkGruInput(op, "w_hh", w, [3 * hidden, hidden]);
    checkGruInput(op, "y", y, sequence);
    checkGruInput(op, "gates", gates, [batch, time, 4 * hidden]);
    checkGruInput(op, "h0", h0, [batch, hidden]);
    checkGruInput(op, "dy", dy, sequence);
    checkGruInput(op, "dhT", dhT, [batch, hidden]);
    const shapes: readonly Shape[] = [[batch, time, 3 * hidden], [batch, time, 3 * hidden], [batch, hidden], sequence];
    return shapes.map((shape) => ({ shape, dtype: "f32" }));
  },
  flops: ([, y]) => {
    const [batch = 0, tokens = 0, hidden = 0] = y?.shape ?? [];
    return batch * tokens * hidden * (6 * hidden + 17);
  },
};

/**
 * Backward pass of `gru` from its results y [B, T, H] and gates [B, T, 4H] (r, z, n, hn) and the gradients dy of y and dhT of
 * the final state (absent: zero). Walking back from the last token, with dh the gradient of h after it,
 *
 *     dz = dh ∘ (h₋ − n) ∘ z(1 − z),  dn = dh ∘ (1 − z) ∘ (1 − n²),  dr = dn ∘ hn ∘ r(1 − r)
 *     dh₋ = dh ∘ z + w_hhᵀ · (dr, dz, dn ∘ r)
 *
 * Results: dx = (dr, dz, dn), the gradient of x_gates, and dGates = (dr, dz, dn ∘ r), that of w_hh · h + b_hh, both
 * [B, T, 3H]; dh0 [B, H]; previous [B, T, H], the state h₋ before each token. All f32.
 */
export function gruGradient(inputs: {
  readonly weight: Tensor;
  readonly y: Tensor;
  readonly gates: Tensor;
  readonly initialState?: Tensor | undefined;
  readonly dy?: Tensor | undefined;
  readonly dhT?: Tensor | undefined;
}): { readonly dx: Tensor; readonly dGates: Tensor; readonly dh0: Tensor; readonly previous: Tensor } {
  const { weight, y, gates, initialState, dy, dhT } = inputs;
  const [dx, dGates, dh0, previous] = apply(gruGradientOp, [weight, y, gates, initialState, dy, dhT], {});
  return {
    dx: required(dx, "gru_gradient dx"),
    dGates: required(dGates, "gru_gradient dGates"),
    dh0: required(dh0, "gru_gradient dh0"),
    previous: required(previous, "gru_gradient previous"),
  };
}
