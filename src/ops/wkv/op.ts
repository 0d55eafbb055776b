// wkv: the attention-like average of RWKV-4, a weighted mean of values whose weights decay with their age.
import { dimAt, formatShape, GraphError, type Shape, sameShape, type TensorType } from "../../graph/shape.ts";
import { apply, type OpDefinition, type Tensor } from "../../graph/types.ts";
import { required } from "../types.ts";

/** wkv has no attributes. */
export type WkvAttributes = Readonly<Record<string, never>>;

/** Throws a GraphError naming `op` and the input unless it is absent or f32 of that shape. */
export function checkWkvInput(op: string, name: string, input: TensorType | undefined, shape: Shape): void {
  if (input === undefined || (input.dtype === "f32" && sameShape(input.shape, shape))) return;
  throw new GraphError(`${op}: ${name} ${input.dtype} ${formatShape(input.shape)} is not f32 ${formatShape(shape)}`);
}

export interface WkvShapes {
  /** [B, T, D] */
  readonly sequence: Shape;
  /** [B, 3, D] */
  readonly state: Shape;
  /** [B, T, 3, D] */
  readonly states: Shape;
  /** [B, D] */
  readonly channels: Shape;
}

/** The shapes of everything, from k, v, w, u; throws GraphError where one does not fit. */
export function checkWkv(op: string, [k, v, w, u]: readonly (TensorType | undefined)[]): WkvShapes {
  for (const [name, type] of Object.entries({ k, v, w, u })) {
    if (type === undefined) throw new GraphError(`${op}: ${name} is missing`);
  }
  const { shape, dtype } = required(k, "k");
  if (dtype !== "f32" || shape.length !== 3) {
    throw new GraphError(`${op}: k ${dtype} ${formatShape(shape)} is not f32 [batch, time, channels]`);
  }
  const [batch, time, channels] = [dimAt(shape, 0), dimAt(shape, 1), dimAt(shape, 2)];
  checkWkvInput(op, "v", v, shape);
  checkWkvInput(op, "w", w, [channels]);
  checkWkvInput(op, "u", u, [channels]);
  return {
    sequence: shape,
    state: [batch, 3, channels],
    states: [batch, time, 3, channels],
    channels: [batch, channels],
  };
}

/** Inputs k, v, w, u, s0?; outputs y, sT, states. See {@link wkv}. */
export const wkvOp: OpDefinition<WkvAttributes> = {
  name: "wkv",
  infer: (inputs) => {
    const { sequence, state, states } = checkWkv("wkv", inputs);
    checkWkvInput("wkv", "s0", inputs[4], state);
    return [sequence, state, states].map((shape) => ({ shape, dtype: "f32" }));
  },
  // Four exponentials, two maxima, a quotient, four multiply-adds.
  flops: ([k]) => {
    const [batch = 0, tokens = 0, channels = 0] = k?.shape ?? [];
    return 20 * batch * tokens * channels;
  },
  inPlace: [[4, 1]],
};

export interface WkvResult {
  /** [B, T, D] */
  readonly output: Tensor;
  /** State after the last token, [B, 3, D]. */
  readonly finalState: Tensor;
}

/**
 * The time mixing of RWKV-4 (Peng et al. 2023, arXiv 2305.13048, equations 16 to 18). Each channel keeps the sums
 *
 *     num ← e^w · num + e^k · v,    den ← e^w · den + e^k
 *
 * and gives, before it takes in the token, y = (num + e^(u+k) · v) / (den + e^(u+k)): a mean of all values so far, whose weights
 * are e^k, fade by e^w a token, and have a bonus u at the newest.
 *
 * k, v f32 [B, T, D]; w, at most 0, and u [D]. A state [B, 3, D] holds num · e^-o, den · e^-o and o, the largest exponent so
 * far, so that no sum overflows; a den of 0 says that nothing has been seen. A third output of the op, states [B, T, 3, D], is the
 * state before each token for the backward pass; it is computed only where that exists. Throws GraphError where shapes do not
 * fit.
 */
export function wkv(k: Tensor, v: Tensor, w: Tensor, u: Tensor, initialState?: Tensor): WkvResult {
  const [output, finalState] = apply(wkvOp, [k, v, w, u, initialState], {});
  return { output: required(output, "wkv y"), finalState: required(finalState, "wkv sT") };
}
