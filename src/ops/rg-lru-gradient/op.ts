// rg_lru_gradient: the recurrence of rg_lru backwards in time.
import { GraphError } from "../../graph/shape.ts";
import { apply, type OpDefinition, type Tensor } from "../../graph/types.ts";
import { checkRgLru, checkRgLruInput, type RgLruAttributes } from "../rg-lru/op.ts";
import { required } from "../types.ts";

/** Inputs x, log_a, position?, h0?, y, dy?, dhT?; outputs dx, dlog_a, dh0. See {@link rgLruGradient}. */
export const rgLruGradientOp: OpDefinition<RgLruAttributes> = {
  name: "rg_lru_gradient",
  infer: (inputs) => {
    const op = "rg_lru_gradient";
    const { sequence, state } = checkRgLru(op, inputs);
    const [, , , , y, dy, dhT] = inputs;
    if (y === undefined) throw new GraphError(`${op}: y is missing`);
    checkRgLruInput(op, "y", y, sequence);
    checkRgLruInput(op, "dy", dy, sequence);
    checkRgLruInput(op, "dhT", dhT, state);
    return [sequence, sequence, state].map((shape) => ({ shape, dtype: "f32" }));
  },
  flops: ([x]) => {
    const [batch = 0, tokens = 0, channels = 0] = x?.shape ?? [];
    return 16 * batch * tokens * channels;
  },
};

/**
 * Backward pass of `rgLru` from its inputs, its result y, and the gradients dy of y and dhT of the final state (absent: zero).
 * Walking back from the last token, with dh the gradient of h after it,
 *
 *     dx = m ∘ dh,    dlog_a = dh ∘ (a ∘ h₋ − x ∘ a² / m),    dh₋ = a ∘ dh
 *
 * where the second summand is absent at position 0 and m is taken for at least SMALLEST_FACTOR. Results: dx, dLogA [B, T, D],
 * dh0 [B, D].
 */
export function rgLruGradient(inputs: {
  readonly x: Tensor;
  readonly logA: Tensor;
  readonly position?: Tensor | undefined;
  readonly initialState?: Tensor | undefined;
  readonly y: Tensor;
  readonly dy?: Tensor | undefined;
  readonly dhT?: Tensor | undefined;
}): { readonly dx: Tensor; readonly dLogA: Tensor; readonly dh0: Tensor } {
  const { x, logA, position, initialState, y, dy, dhT } = inputs;
  const [dx, dLogA, dh0] = apply(rgLruGradientOp, [x, logA, position, initialState, y, dy, dhT], {});
  return {
    dx: required(dx, "rg_lru_gradient dx"),
    dLogA: required(dLogA, "rg_lru_gradient dlog_a"),
    dh0: required(dh0, "rg_lru_gradient dh0"),
  };
}
