// diagonal_scan: S4D as a recurrence, for decoding and for prefill in chunks.
import { dimAt, formatShape, GraphError, type Shape, sameShape } from "../../graph/shape.ts";
import { apply, type OpDefinition, type Tensor } from "../../graph/types.ts";
import type { S4dParameters } from "../s4d-kernel/op.ts";
import { checkS4dParameters, type Discretization } from "../s4d-kernel/parameters.ts";
import { required } from "../types.ts";

export interface DiagonalScanAttributes {
  readonly discretization: Discretization;
}

/** Inputs u, log_dt, A_log_real, A_imag, C, h0?; outputs y, hT. See {@link diagonalScan}. */
export const diagonalScanOp: OpDefinition<DiagonalScanAttributes> = {
  name: "diagonal_scan",
  infer: ([u, ...rest]) => {
    if (u === undefined) throw new GraphError("diagonal_scan: u is missing");
    const { channels, modes } = checkS4dParameters("diagonal_scan", rest.slice(0, 4));
    if (u.dtype !== "f32" || u.shape.length !== 3 || dimAt(u.shape, 2) !== channels) {
      throw new GraphError(`diagonal_scan: u ${u.dtype} ${formatShape(u.shape)} is not f32 [batch, time, ${channels}]`);
    }
    const state: Shape = [dimAt(u.shape, 0), channels, modes, 2];
    const h0 = rest[4];
    if (h0 !== undefined && !sameShape(h0.shape, state)) {
      throw new GraphError(`diagonal_scan: h0 ${formatShape(h0.shape)} is not ${formatShape(state)}`);
    }
    return [
      { shape: u.shape, dtype: "f32" },
      { shape: state, dtype: "f32" },
    ];
  },
  // Per token and mode a complex product, an input and the real part of another; per mode the discretisation.
  flops: ([u, , rates]) => {
    const [batch = 0, tokens = 0, channels = 0] = u?.shape ?? [];
    const modes = rates?.shape[1] ?? 0;
    return channels * modes * (13 * batch * tokens + 60);
  },
  inPlace: [
    [0, 0],
    [5, 1],
  ],
};

export interface DiagonalScanResult {
  /** [B, T, D] */
  readonly output: Tensor;
  /** State after the last token, [B, D, N/2, 2]. */
  readonly finalState: Tensor;
}

/**
 * S4D's recurrent form (Gu et al. 2022, arXiv 2206.11893, equation 2): with Ā and B̄ as in `s4dKernel`, every channel keeps
 * N/2 complex states h, which start at `initialState` (zeros when absent), and at each token
 *
 *     h[n] ← Ā[n] · h[n] + u
 *     y = 2 Re Σₙ C[n] · B̄[n] · h[n]
 *
 * so that y is the causal convolution of u with the kernel; B̄ is applied on the way out. u f32 [B, T, D]; states are stored
 * as (real, imaginary), [B, D, N/2, 2]. It has no gradient: train with `s4dKernel` and `longConvolution`. Throws GraphError
 * where shapes do not fit.
 */
export function diagonalScan(
  u: Tensor,
  { logDt, aLogReal, aImag, c }: S4dParameters,
  options: { readonly discretization: Discretization; readonly initialState?: Tensor | undefined },
): DiagonalScanResult {
  const { discretization, initialState } = options;
  const inputs = [u, logDt, aLogReal, aImag, c, initialState];
  const [output, finalState] = apply(diagonalScanOp, inputs, { discretization });
  return { output: required(output, "diagonal_scan y"), finalState: required(finalState, "diagonal_scan hT") };
}
