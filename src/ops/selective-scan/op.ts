// selective_scan: Mamba-1's recurrence, a diagonal state-space model whose step, input and output depend on the token.
import {
  type Dim,
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

export interface SelectiveScanAttributes {
  /** Whether Δ = softplus(delta + delta_bias) rather than delta + delta_bias. */
  readonly deltaSoftplus: boolean;
}

/** Tokens between the states that the forward pass keeps for the backward pass. */
export const CHUNK = 64;

/** Inputs u, delta, A, B, C, D?, z?, delta_bias?, h0?; outputs y, hT, starts. See {@link selectiveScan}. */
export const selectiveScanOp: OpDefinition<SelectiveScanAttributes> = {
  name: "selective_scan",
  infer: (inputs) => {
    const shapes = checkSelectiveScan("selective_scan", inputs.slice(0, 8));
    const [, , , , , , , , h0] = inputs;
    if (h0 !== undefined && !sameShape(h0.shape, shapes.state)) {
      throw new GraphError(`selective_scan: h0 ${formatShape(h0.shape)} is not ${formatShape(shapes.state)}`);
    }
    return [shapes.sequence, shapes.state, shapes.starts].map((shape) => ({ shape, dtype: "f32" }));
  },
  // Per state: Δ·A and its exponential, the decayed state, the driven input, the read. Per channel: softplus, gate, skip.
  flops: ([u, , a]) => {
    const [batch = 0, tokens = 0, channels = 0] = u?.shape ?? [];
    return batch * tokens * channels * (7 * (a?.shape[1] ?? 0) + 16);
  },
  inPlace: [
    [0, 0],
    [1, 0],
    [6, 0],
    [8, 1],
  ],
};

export interface SelectiveScanShapes {
  /** [B, T, D] */
  readonly sequence: Shape;
  /** [D, N] */
  readonly rates: Shape;
  /** [B, T, N] */
  readonly projections: Shape;
  /** [D] */
  readonly channels: Shape;
  /** [B, D, N] */
  readonly state: Shape;
  /** [B, ⌈T/64⌉, D, N] */
  readonly starts: Shape;
}

/** The shapes of everything, from u, delta, A, B, C, D?, z?, delta_bias?; throws GraphError where one does not fit. */
export function checkSelectiveScan(op: string, inputs: readonly (TensorType | undefined)[]): SelectiveScanShapes {
  const names = ["u", "delta", "A", "B", "C", "D", "z", "delta_bias"];
  for (const [i, name] of names.slice(0, 5).entries()) {
    if (inputs[i] === undefined) throw new GraphError(`${op}: ${name} is missing`);
  }
  const u = required(inputs[0], "u").shape;
  const a = required(inputs[2], "A").shape;
  if (u.length !== 3) throw new GraphError(`${op}: u ${formatShape(u)} is not [batch, time, channels]`);
  if (a.length !== 2) throw new GraphError(`${op}: A ${formatShape(a)} is not [channels, states]`);
  const [batch, time] = [dimAt(u, 0), dimAt(u, 1)];
  const channels = fixedDimAt(u, 2);
  const states = fixedDimAt(a, 1);
  const shapes = {
    sequence: u,
    rates: [channels, states],
    projections: [batch, time, states],
    channels: [channels],
    state: [batch, channels, states],
    starts: [batch, chunksOf(op, time), channels, states],
  };
  const { sequence, rates, projections } = shapes;
  const expected = [sequence, sequence, rates, projections, projections, shapes.channels, sequence, shapes.channels];
  for (const [i, shape] of expected.entries()) {
    const input = inputs[i];
    if (input === undefined) continue;
    if (input.dtype !== "f32") throw new GraphError(`${op}: ${names[i]} is ${input.dtype}, not f32`);
    if (!sameShape(input.shape, shape)) {
      throw new GraphError(`${op}: ${names[i]} ${formatShape(input.shape)} is not ${formatShape(shape)}`);
    }
  }
  return shapes;
}

/** Number of chunks of `time` tokens. */
function chunksOf(op: string, time: Dim): Dim {
  if (typeof time === "number") return Math.ceil(time / CHUNK);
  if (time === "T") return `T/${CHUNK}`;
  throw new GraphError(`${op}: the time axis cannot be ${time}`);
}

export interface SelectiveScanOptions {
  /** Weight of the direct path from u to y, [D]. */
  readonly D?: Tensor | undefined;
  /** Gate, [B, T, D]: y is multiplied by silu(z). */
  readonly z?: Tensor | undefined;
  /** Added to delta, [D]. */
  readonly deltaBias?: Tensor | undefined;
  /** State before the first token, [B, D, N]; zeros when absent. */
  readonly initialState?: Tensor | undefined;
  /** Whether Δ goes through softplus; true when absent. */
  readonly deltaSoftplus?: boolean;
}

export interface SelectiveScanResult {
  /** [B, T, D] */
  readonly output: Tensor;
  /** State after the last token, [B, D, N]. */
  readonly finalState: Tensor;
}

/**
 * The selective scan of Mamba (Gu & Dao 2023, arXiv 2312.00752, equation 2 and section 3.2). With
 * Δ = softplus(delta + delta_bias), each channel d keeps N states, which start at `initialState` and at each token
 *
 *     h[n] ← exp(Δ[d] · A[d, n]) · h[n] + Δ[d] · u[d] · B[n]
 *     y[d] = (Σₙ C[n] · h[n] + D[d] · u[d]) · silu(z[d])
 *
 * u, delta are f32 [B, T, D]; A [D, N], negative for states that decay; B, C [B, T, N]. Throws GraphError when shapes do
 * not fit.
 */
export function selectiveScan(
  u: Tensor,
  delta: Tensor,
  A: Tensor,
  B: Tensor,
  C: Tensor,
  options: SelectiveScanOptions = {},
): SelectiveScanResult {
  const { D, z, deltaBias, initialState, deltaSoftplus = true } = options;
  const [output, finalState] = apply(selectiveScanOp, [u, delta, A, B, C, D, z, deltaBias, initialState], {
    deltaSoftplus,
  });
  return { output: required(output, "selective_scan y"), finalState: required(finalState, "selective_scan hT") };
}
