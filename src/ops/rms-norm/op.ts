// rms_norm: root-mean-square normalisation, with the residual addition before it and the gate around it that models have.
import { fixedDimAt, formatShape, GraphError, sameShape, sizeOf, type TensorType } from "../../graph/shape.ts";
import { apply, applyOne, type OpDefinition, outputOf, type Tensor } from "../../graph/types.ts";
import { required } from "../types.ts";

/** How the weight enters: not at all, as w, or as 1 + w (Gemma, whose weights start at zero). */
export type NormMode = "weight" | "one_plus_weight" | "none";
export type GateActivation = "silu" | "sigmoid" | "none";

export interface RmsNormAttributes {
  /** Added to the mean square. */
  readonly eps: number;
  /** Groups of channels that are normalised apart; divides C. */
  readonly groups: number;
  readonly mode: NormMode;
  /** Whether the gate multiplies after the norm; before it otherwise. */
  readonly normBeforeGate: boolean;
  readonly gateActivation: GateActivation;
  /** Constant factor on the output. */
  readonly scale: number;
}

/** Checks that weight, gate and residual fit x; for the op and its gradient. */
export function checkNormInputs(
  op: string,
  x: TensorType | undefined,
  vectors: readonly (readonly [name: string, type: TensorType | undefined])[],
  sameAsX: readonly (readonly [name: string, type: TensorType | undefined])[],
): TensorType {
  if (x === undefined) throw new GraphError(`${op}: x is missing`);
  if (x.dtype !== "f32") throw new GraphError(`${op}: x is ${x.dtype}, must be f32`);
  const channels = fixedDimAt(x.shape, -1);
  for (const [name, type] of vectors) {
    if (type !== undefined && !sameShape(type.shape, [channels])) {
      throw new GraphError(
        `${op}: ${name} is ${formatShape(type.shape)}, must be [${channels}] for x ${formatShape(x.shape)}`,
      );
    }
  }
  for (const [name, type] of sameAsX) {
    if (type !== undefined && !sameShape(type.shape, x.shape)) {
      throw new GraphError(
        `${op}: ${name} is ${formatShape(type.shape)}, must have the shape of x, ${formatShape(x.shape)}`,
      );
    }
  }
  return { shape: x.shape, dtype: "f32" };
}

/** Checks the attributes against the channels of x. */
export function checkRmsNorm(
  op: string,
  x: TensorType,
  weight: TensorType | undefined,
  { groups, mode, eps }: RmsNormAttributes,
): void {
  const channels = fixedDimAt(x.shape, -1);
  if (!Number.isInteger(groups) || groups < 1 || channels % groups !== 0) {
    throw new GraphError(`${op}: ${groups} groups do not divide the ${channels} channels of x ${formatShape(x.shape)}`);
  }
  if ((weight === undefined) !== (mode === "none")) {
    throw new GraphError(`${op}: mode "${mode}" ${mode === "none" ? "takes no" : "needs a"} weight`);
  }
  if (!(eps >= 0)) throw new GraphError(`${op}: eps is ${eps}, must not be negative`);
}

/** Inputs x, weight?, gate?, residual?; outputs y and, where there is a residual, sum. See {@link rmsNorm}. */
export const rmsNormOp: OpDefinition<RmsNormAttributes> = {
  name: "rms_norm",
  infer: ([x, weight, gate, residual], attributes) => {
    const type = checkNormInputs(
      "rms_norm",
      x,
      [["weight", weight]],
      [
        ["gate", gate],
        ["residual", residual],
      ],
    );
    checkRmsNorm("rms_norm", type, weight, attributes);
    return residual === undefined ? [type] : [type, type];
  },
  flops: ([, weight, gate, residual], [y]) =>
    sizeOf(y?.shape ?? []) * (3 + (weight ? 1 : 0) + (gate ? 4 : 0) + (residual ? 1 : 0)),
  inPlace: [
    [0, 0],
    [3, 0],
    [0, 1],
    [3, 1],
  ],
};

export interface RmsNormOptions {
  /** [C]; left out for mode "none". */
  readonly weight?: Tensor;
  /** [.., C]. */
  readonly gate?: Tensor;
  readonly eps: number;
  /** Default 1. */
  readonly groups?: number;
  /** Default "weight" where there is a weight, else "none". */
  readonly mode?: NormMode;
  /** Default true. */
  readonly normBeforeGate?: boolean;
  /** Default "silu". */
  readonly gateActivation?: GateActivation;
  /** Default 1. */
  readonly scale?: number;
}

function attributesOf(options: RmsNormOptions): RmsNormAttributes {
  return {
    eps: options.eps,
    groups: options.groups ?? 1,
    mode: options.mode ?? (options.weight === undefined ? "none" : "weight"),
    normBeforeGate: options.normBeforeGate ?? true,
    gateActivation: options.gateActivation ?? "silu",
    scale: options.scale ?? 1,
  };
}

/**
 * Root-mean-square normalisation (Zhang & Sennrich 2019) of x f32 [.., C] over its last axis:
 *
 *     n(u) = u / sqrt(mean(u²) + eps), the mean over each of `groups` slices of C / groups channels
 *     y = scale · n(x) · w                   without a gate; w = weight, 1 + weight, or 1
 *     y = scale · n(x) · w · act(gate)       normBeforeGate
 *     y = scale · n(x · act(gate)) · w       otherwise (the gated norm of Mamba-2, Dao & Gu 2024)
 *
 * Returns y [.., C]. Throws GraphError where shapes do not fit.
 */
export function rmsNorm(x: Tensor, options: RmsNormOptions): Tensor {
  return applyOne(rmsNormOp, [x, options.weight, options.gate], attributesOf(options));
}

/** {@link rmsNorm} of sum = x + residual; returns both, each [.., C]. */
export function addRmsNorm(
  x: Tensor,
  residual: Tensor,
  options: RmsNormOptions,
): { readonly y: Tensor; readonly sum: Tensor } {
  const outputs = apply(rmsNormOp, [x, options.weight, options.gate, residual], attributesOf(options));
  const y = required(outputs[0], "y");
  return { y, sum: outputOf(y, 1) };
}

/** y = scale · x / sqrt(Σ x² + eps) over the last axis: unit length for keys and queries. x f32 [.., C]. */
export function l2Norm(x: Tensor, options: { readonly eps: number; readonly scale?: number }): Tensor {
  const channels = fixedDimAt(x.shape, -1);
  return rmsNorm(x, { eps: options.eps / channels, scale: (options.scale ?? 1) / Math.sqrt(channels) });
}
