// rg_lru: the real-gated linear recurrent unit, a vector that each token lets decay and adds to.
import { dimAt, formatShape, GraphError, type Shape, sameShape, type TensorType } from "../../graph/shape.ts";
import { apply, type OpDefinition, type Tensor } from "../../graph/types.ts";
import { required } from "../types.ts";

/** rg_lru has no attributes. */
export type RgLruAttributes = Readonly<Record<string, never>>;

/** Below this, 1 / m counts as 1 / SMALLEST in the gradient, which would grow without bound as the decay goes to 1. */
export const SMALLEST_FACTOR = 5e-4;

/** Throws a GraphError naming `op` and the input unless it is absent or f32 of that shape. */
export function checkRgLruInput(op: string, name: string, input: TensorType | undefined, shape: Shape): void {
  if (input === undefined || (input.dtype === "f32" && sameShape(input.shape, shape))) return;
  throw new GraphError(`${op}: ${name} ${input.dtype} ${formatShape(input.shape)} is not f32 ${formatShape(shape)}`);
}

/** The shapes of x and of a state; throws GraphError where x, log_a, position or h0 do not fit. */
export function checkRgLru(
  op: string,
  [x, logA, position, h0]: readonly (TensorType | undefined)[],
): { readonly sequence: Shape; readonly state: Shape } {
  if (x === undefined || logA === undefined)
    throw new GraphError(`${op}: ${x === undefined ? "x" : "log_a"} is missing`);
  if (x.dtype !== "f32" || x.shape.length !== 3) {
    throw new GraphError(`${op}: x ${x.dtype} ${formatShape(x.shape)} is not f32 [batch, time, channels]`);
  }
  const state = [dimAt(x.shape, 0), dimAt(x.shape, 2)];
  checkRgLruInput(op, "log_a", logA, x.shape);
  checkRgLruInput(op, "h0", h0, state);
  if (position !== undefined && (position.dtype !== "i32" || !sameShape(position.shape, [dimAt(x.shape, 0)]))) {
    throw new GraphError(`${op}: position ${position.dtype} ${formatShape(position.shape)} is not i32 [batch]`);
  }
  return { sequence: x.shape, state };
}

/** Inputs x, log_a, position?, h0?; outputs y, hT. See {@link rgLru}. */
export const rgLruOp: OpDefinition<RgLruAttributes> = {
  name: "rg_lru",
  infer: (inputs) => {
    const { sequence, state } = checkRgLru("rg_lru", inputs);
    return [sequence, state].map((shape) => ({ shape, dtype: "f32" }));
  },
  // Two exponentials, a square root, two products and a sum.
  flops: ([x]) => {
    const [batch = 0, tokens = 0, channels = 0] = x?.shape ?? [];
    return 8 * batch * tokens * channels;
  },
  inPlace: [[3, 1]],
};

export interface RgLruOptions {
  /** Tokens before this call for each row, i32 [B]; absent: none. */
  readonly position?: Tensor | undefined;
  /** State before the first token, [B, D]; zeros when absent. */
  readonly initialState?: Tensor | undefined;
}

export interface RgLruResult {
  /** h after each token, [B, T, D]. */
  readonly output: Tensor;
  /** h after the last token, [B, D]. */
  readonly finalState: Tensor;
}

/**
 * The recurrence of the real-gated linear recurrent unit (De et al. 2024, arXiv 2402.19427, equation 4). With a = exp(log_a),
 * which is at most 1,
 *
 *     h ← a ∘ h + m ∘ x,    m = sqrt(1 − a²), but 1 at the first token of a sequence (position 0)
 *
 * so that h keeps the variance of x. x and logA f32 [B, T, D]. Throws GraphError where shapes do not fit.
 */
export function rgLru(x: Tensor, logA: Tensor, options: RgLruOptions = {}): RgLruResult {
  const [output, finalState] = apply(rgLruOp, [x, logA, options.position, options.initialState], {});
  return { output: required(output, "rg_lru y"), finalState: required(finalState, "rg_lru hT") };
}
