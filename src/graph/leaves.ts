// The leaves of a graph: inputs fed on every call, parameters, states and constants.
import type { DType, Shape } from "./shape.ts";
import { applyOne, type OpDefinition, type Tensor } from "./types.ts";

/** How a parameter is filled before training. Random draws come from a stream seeded by the parameter's name. */
export type Initialiser =
  | { readonly kind: "zeros" }
  | { readonly kind: "ones" }
  | { readonly kind: "constant"; readonly value: number }
  | { readonly kind: "normal"; readonly std: number }
  | { readonly kind: "uniform"; readonly low: number; readonly high: number }
  /** log(1), log(2), … log(last dim) along the last axis: A_log of S4D-real and Mamba-1. */
  | { readonly kind: "log_arange" }
  /** log(u), u uniform in [low, high]: A_log of Mamba-2. */
  | { readonly kind: "log_uniform_values"; readonly low: number; readonly high: number }
  /** softplus⁻¹(Δ) with Δ log-uniform in [low, high], at least `floor`: dt_bias. */
  | {
      readonly kind: "inverse_softplus_log_uniform";
      readonly low: number;
      readonly high: number;
      readonly floor: number;
    }
  /** log(Δ), Δ log-uniform in [low, high]: log_dt of S4. */
  | { readonly kind: "log_uniform"; readonly low: number; readonly high: number }
  /** scale · (0, 1, 2, …) along the last axis: imaginary part of A of S4D-Lin (scale π). */
  | { readonly kind: "arange"; readonly scale: number }
  /** N/π · (N / (2n + 1) − 1) for n = 0, 1, … along the last axis of length N: imaginary part of A of S4D-Inv. */
  | { readonly kind: "s4d_inverse" };

export interface InputAttributes {
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: DType;
}

export interface ParameterAttributes extends InputAttributes {
  readonly initialiser: Initialiser;
  /** Whether weight decay applies: false for norms, biases, A_log, D, dt_bias. */
  readonly decay: boolean;
  /**
   * Training moves it by so much against the sign of what stands for its gradient, instead of by its optimiser: the bias of a
   * router, whose loss no gradient leads to. Undefined for all others.
   */
  readonly signRate: number | undefined;
}

export interface StateAttributes extends InputAttributes {
  /** Value of every element before the first token. */
  readonly reset: number;
}

export interface ConstantAttributes {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly values: readonly number[];
}

const none = () => 0;

export const inputOp: OpDefinition<InputAttributes> = {
  name: "input",
  leaf: "input",
  infer: (_, a) => [{ shape: a.shape, dtype: a.dtype }],
  flops: none,
};

export const parameterOp: OpDefinition<ParameterAttributes> = {
  name: "parameter",
  leaf: "parameter",
  infer: (_, a) => [{ shape: a.shape, dtype: a.dtype }],
  flops: none,
};

export const stateOp: OpDefinition<StateAttributes> = {
  name: "state",
  leaf: "state",
  infer: (_, a) => [{ shape: a.shape, dtype: a.dtype }],
  flops: none,
};

export const constantOp: OpDefinition<ConstantAttributes> = {
  name: "constant",
  leaf: "constant",
  infer: (_, a) => [{ shape: a.shape, dtype: a.dtype }],
  flops: none,
};

/** A value fed on every call. */
export function input(name: string, shape: Shape, dtype: DType = "f32"): Tensor {
  return applyOne(inputOp, [], { name, shape, dtype });
}

/** A trained f32 value. */
export function parameter(
  name: string,
  shape: readonly number[],
  initialiser: Initialiser,
  options: { readonly decay?: boolean; readonly signRate?: number } = {},
): Tensor {
  const { decay = true, signRate } = options;
  return applyOne(parameterOp, [], { name, shape, dtype: "f32", initialiser, decay, signRate });
}

/** A value carried from call to call. */
export function state(
  name: string,
  shape: Shape,
  options: { readonly dtype?: DType; readonly reset?: number } = {},
): Tensor {
  return applyOne(stateOp, [], { name, shape, dtype: options.dtype ?? "f32", reset: options.reset ?? 0 });
}

/** Fixed numbers. */
export function constant(
  values: readonly number[],
  shape: readonly number[] = [values.length],
  dtype: DType = "f32",
): Tensor {
  return applyOne(constantOp, [], { shape, dtype, values });
}

/** A fixed f32 scalar, shape []. */
export function scalar(value: number): Tensor {
  return constant([value], []);
}
