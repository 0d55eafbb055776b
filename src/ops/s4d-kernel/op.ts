// s4d_kernel: the impulse response of a diagonal, time-invariant state-space model, with which S4D convolves in training.
import { bindDim, type Dim, sizeOf } from "../../graph/shape.ts";
import { applyOne, type OpDefinition, type Tensor } from "../../graph/types.ts";
import { checkS4dParameters, type Discretization } from "./parameters.ts";

export interface S4dKernelAttributes {
  readonly discretization: Discretization;
  /** Length of the kernel: the number of tokens that are convolved with it. */
  readonly length: Dim;
}

/** Inputs log_dt, A_log_real, A_imag, C; output K. See {@link s4dKernel}. */
export const s4dKernelOp: OpDefinition<S4dKernelAttributes> = {
  name: "s4d_kernel",
  infer: (parameters, { length }) => {
    const { channels } = checkS4dParameters("s4d_kernel", parameters);
    return [{ shape: [channels, length], dtype: "f32" }];
  },
  bind: (attributes, bindings) => ({ ...attributes, length: bindDim(attributes.length, bindings) }),
  // Per mode and token: two multiply-adds; the powers cost about 64 + T/64 complex products per mode.
  flops: ([, rates], [kernel]) => 4 * (rates?.shape[1] ?? 0) * sizeOf(kernel?.shape ?? []),
};

/** The parameters of S4D; B is 1. All f32. */
export interface S4dParameters {
  /** log Δ, [D]. */
  readonly logDt: Tensor;
  /** log(−Re A), [D, N/2]. */
  readonly aLogReal: Tensor;
  /** Im A, [D, N/2]. */
  readonly aImag: Tensor;
  /** C as (real, imaginary), [D, N/2, 2]. */
  readonly c: Tensor;
}

/**
 * The convolution kernel of S4D (Gu, Gupta, Goel, Ré 2022, "On the Parameterization and Initialization of Diagonal State
 * Space Models", arXiv 2206.11893, equation 4 and section 3.3):
 *
 *     K[d, l] = 2 Re Σₙ C[d, n] · B̄[d, n] · Ā[d, n]ˡ,   l = 0 … length − 1
 *
 * Ā and B̄ come from A = −exp(A_log_real) + i · A_imag and Δ = exp(log_dt) by `discretization` (see
 * {@link Discretization}). Result f32 [D, length]. Powers are taken in float64, so that convolving with K agrees with the
 * recurrence (`diagonal_scan`) at any length. Throws GraphError where shapes do not fit.
 */
export function s4dKernel(
  { logDt, aLogReal, aImag, c }: S4dParameters,
  options: { readonly discretization: Discretization; readonly length?: Dim },
): Tensor {
  const { discretization, length = "T" } = options;
  return applyOne(s4dKernelOp, [logDt, aLogReal, aImag, c], { discretization, length });
}
