// gru: a gated recurrent unit over a sequence whose input projections are already made.
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

/** gru has no attributes. */
export type GruAttributes = Readonly<Record<string, never>>;

/** Throws a GraphError naming `op` and the input unless it is absent or f32 of that shape. */
export function checkGruInput(op: string, name: string, input: TensorType | undefined, shape: Shape): void {
  if (input === undefined || (input.dtype === "f32" && sameShape(input.shape, shape))) return;
  throw new GraphError(`${op}: ${name} ${input.dtype} ${formatShape(input.shape)} is not f32 ${formatShape(shape)}`);
}

/** Inputs x_gates, w_hh, b_hh?, h0?; outputs y, hT, gates. See {@link gru}. */
export const gruOp: OpDefinition<GruAttributes> = {
  name: "gru",
  infer: ([x, w, bias, h0]) => {
    if (x === undefined || w === undefined)
      throw new GraphError(`gru: ${x === undefined ? "x_gates" : "w_hh"} is missing`);
    if (x.shape.length !== 3)
      throw new GraphError(`gru: x_gates ${formatShape(x.shape)} is not [batch, time, 3·hidden]`);
    if (w.shape.length !== 2) throw new GraphError(`gru: w_hh ${formatShape(w.shape)} is not [3·hidden, hidden]`);
    const hidden = fixedDimAt(w.shape, 1);
    const [batch, time] = [dimAt(x.shape, 0), dimAt(x.shape, 1)];
    checkGruInput("gru", "w_hh", w, [3 * hidden, hidden]);
    checkGruInput("gru", "x_gates", x, [batch, time, 3 * hidden]);
    checkGruInput("gru", "b_hh", bias, [3 * hidden]);
    checkGruInput("gru", "h0", h0, [batch, hidden]);
    const shapes: readonly Shape[] = [
      [batch, time, hidden],
      [batch, hidden],
      [batch, time, 4 * hidden],
    ];
    return shapes.map((shape) => ({ shape, dtype: "f32" }));
  },
  flops: ([x, w]) => {
    const [batch = 0, tokens = 0] = x?.shape ?? [];
    const hidden = w?.shape[1] ?? 0;
    return batch * tokens * hidden * (6 * hidden + 14);
  },
  inPlace: [[3, 1]],
};

export interface GruOptions {
  /** Bias of the recurrent projections, [3H]. */
  readonly bias?: Tensor | undefined;
  /** State before the first token, [B, H]; zeros when absent. */
  readonly initialState?: Tensor | undefined;
}

export interface GruResult {
  /** h after each token, [B, T, H]. */
  readonly output: Tensor;
  /** h after the last token, [B, H]. */
  readonly finalState: Tensor;
}

/**
 * The gated recurrent unit (Cho et al. 2014, arXiv 1406.1078) in the form of cuDNN, torch.nn.GRU and ONNX with
 * linear_before_reset = 1, whose reset gate acts after the recurrent product. With (xr, xz, xn) = x_gates of the token,
 * which hold the input projections with their bias, and (hr, hz, hn) = w_hh · h + b_hh,
 *
 *     r = σ(xr + hr),  z = σ(xz + hz),  n = tanh(xn + r ∘ hn),  h ← (1 − z) ∘ n + z ∘ h
 *
 * xGates f32 [B, T, 3H], weight w_hh f32 [3H, H]. A third output of the op, gates [B, T, 4H], holds r, z, n and hn for the
 * backward pass; it is computed only where that exists. Throws GraphError where shapes do not fit.
 */
export function gru(xGates: Tensor, weight: Tensor, options: GruOptions = {}): GruResult {
  const { bias, initialState } = options;
  const [output, finalState] = apply(gruOp, [xGates, weight, bias, initialState], {});
  return { output: required(output, "gru y"), finalState: required(finalState, "gru hT") };
}
