// causal_conv: depthwise convolution along time that sees only the past, with the window it leaves behind.
import {
  dimAt,
  fixedDimAt,
  formatShape,
  GraphError,
  type Shape,
  sameShape,
  type TensorType,
} from "../../graph/shape.ts";
import { apply, type OpDefinition, type Tensor } from "../../graph/types.ts";
import { required } from "../types.ts";

export type ConvActivation = "none" | "silu";

export interface CausalConvAttributes {
  /** Applied to the sum and bias. */
  readonly activation: ConvActivation;
}

/** Inputs x, w, bias?, past?; outputs y, present. See {@link causalConv}. */
export const causalConvOp: OpDefinition<CausalConvAttributes> = {
  name: "causal_conv",
  infer: (inputs) => {
    const { sequence, window } = checkCausalConv("causal_conv", inputs);
    return [sequence, window].map((shape) => ({ shape, dtype: "f32" }));
  },
  flops: ([x, w], _, { activation }) => {
    const elements = x?.shape.reduce((n, d) => n * d, 1) ?? 0;
    return elements * (2 * (w?.shape[1] ?? 0) + (activation === "silu" ? 4 : 0));
  },
  inPlace: [[3, 1]],
};

export interface CausalConvShapes {
  /** [B, T, C] */
  readonly sequence: Shape;
  /** [C, K] */
  readonly weight: Shape;
  /** [C] */
  readonly channels: Shape;
  /** [B, K-1, C] */
  readonly window: Shape;
}

/** The shapes of everything, from x, w, bias?, past?; throws GraphError where one does not fit. */
export function checkCausalConv(op: string, inputs: readonly (TensorType | undefined)[]): CausalConvShapes {
  const [x, w] = inputs;
  if (x === undefined) throw new GraphError(`${op}: x is missing`);
  if (w === undefined) throw new GraphError(`${op}: w is missing`);
  if (x.shape.length !== 3) throw new GraphError(`${op}: x ${formatShape(x.shape)} is not [batch, time, channels]`);
  if (w.shape.length !== 2) throw new GraphError(`${op}: w ${formatShape(w.shape)} is not [channels, taps]`);
  const channels = fixedDimAt(x.shape, 2);
  const taps = fixedDimAt(w.shape, 1);
  if (taps < 1) throw new GraphError(`${op}: w ${formatShape(w.shape)} has no taps`);
  const shapes = {
    sequence: x.shape,
    weight: [channels, taps],
    channels: [channels],
    window: [dimAt(x.shape, 0), taps - 1, channels],
  };
  const expected = [shapes.sequence, shapes.weight, shapes.channels, shapes.window];
  for (const [i, name] of ["x", "w", "bias", "past"].entries()) {
    const input = inputs[i];
    const shape = expected[i];
    if (input === undefined || shape === undefined) continue;
    if (input.dtype !== "f32") throw new GraphError(`${op}: ${name} is ${input.dtype}, not f32`);
    if (!sameShape(input.shape, shape)) {
      throw new GraphError(`${op}: ${name} ${formatShape(input.shape)} is not ${formatShape(shape)}`);
    }
  }
  return shapes;
}

export interface CausalConvOptions {
  /** [C] */
  readonly bias?: Tensor | undefined;
  /** The K-1 tokens before the first, [B, K-1, C]; zeros when absent. */
  readonly past?: Tensor | undefined;
  /** "none" when absent. */
  readonly activation?: ConvActivation;
}

export interface CausalConvResult {
  /** [B, T, C] */
  readonly output: Tensor;
  /** The last K-1 tokens of past and x together, [B, K-1, C]: the past of the next call. */
  readonly present: Tensor;
}

/**
 * The short convolution of Mamba and its kin (Gu & Dao 2023, arXiv 2312.00752, section 3.4), a correlation of each channel
 * with its own K taps, the last of which meets the current token:
 *
 *     y[t, c] = activation(bias[c] + Σₖ w[c, k] · x[t - K + 1 + k, c])
 *
 * where tokens before the first come from `past`. x f32 [B, T, C], w [C, K]. Throws GraphError when shapes do not fit.
 */
export function causalConv(x: Tensor, w: Tensor, options: CausalConvOptions = {}): CausalConvResult {
  const { bias, past, activation = "none" } = options;
  const [output, present] = apply(causalConvOp, [x, w, bias, past], { activation });
  return { output: required(output, "causal_conv y"), present: required(present, "causal_conv present") };
}
