// Pieces that most mixers share: linear layers, causal convolutions and heads.
import { type Expression, gelu, geluTanh, literal, relu, sigmoid, silu, square, sub } from "../graph/expression.ts";
import { fixedDimAt } from "../graph/shape.ts";
import type { Tensor } from "../graph/types.ts";
import { causalConv } from "../ops/causal-conv/op.ts";
import { concat } from "../ops/concat/op.ts";
import { add, mul, pointwise } from "../ops/map/op.ts";
import { linear } from "../ops/matmul/op.ts";
import { reshape } from "../ops/reshape/op.ts";
import type { BlockContext } from "./context.ts";

/** x · weightᵀ (+ bias) (+ adapter): parameters `<name>.weight` [size, width of x] and `<name>.bias`. */
export function project(x: Tensor, name: string, size: number, context: BlockContext, bias = false): Tensor {
  const weight = context.weight(`${name}.weight`, size, fixedDimAt(x.shape, -1));
  return adapted(linear(x, weight, bias ? context.bias(`${name}.bias`, size) : undefined), x, name, context);
}

/** The projection back to the width of the residual stream, unless the block sees to that. */
export function projectOut(x: Tensor, name: string, context: BlockContext, bias = false): Tensor {
  if (!context.projectsOut) return x;
  const weight = context.outputWeight(`${name}.weight`, context.width, fixedDimAt(x.shape, -1));
  return adapted(linear(x, weight, bias ? context.bias(`${name}.bias`, context.width) : undefined), x, name, context);
}

function adapted(y: Tensor, x: Tensor, name: string, context: BlockContext): Tensor {
  const adapter = context.adapter(name, fixedDimAt(y.shape, -1), fixedDimAt(x.shape, -1));
  return adapter === undefined ? y : add(y, linear(linear(x, adapter.down), adapter.up));
}

/** {@link project}, through `rank` channels where that is not null: `<name>_down` then `<name>_up`. */
export function projectThrough(
  x: Tensor,
  name: string,
  size: number,
  rank: number | null,
  context: BlockContext,
  bias = false,
): Tensor {
  if (rank === null) return project(x, name, size, context, bias);
  return project(project(x, `${name}_down`, rank, context), `${name}_up`, size, context, bias);
}

/**
 * μ · x_t + (1 - μ) · x_{t-1} for each name, where x_{-1} is zero: parameters `<name>.mix` [C], one per channel; state `shift`
 * [B, 1, C], the last token. x is [B, T, C].
 */
export function shiftTokens(x: Tensor, names: readonly string[], context: BlockContext): Tensor[] {
  const channels = fixedDimAt(x.shape, -1);
  const past = context.state("shift", ["B", 1, channels]);
  const results = names.map((name) => {
    const mix = context.parameter(`${name}.mix`, [channels], { kind: "uniform", low: 0, high: 1 }, { decay: false });
    // A convolution over two tokens, whose taps are 1 - μ and μ.
    const taps = concat(
      [pointwise(mix, (m) => sub(literal(1), m)), mix].map((t) => reshape(t, [channels, 1])),
      1,
    );
    return causalConv(x, taps, { past });
  });
  const present = results[0]?.present;
  if (present !== undefined) context.next("shift", present);
  return results.map(({ output }) => output);
}

/**
 * A causal depthwise convolution of x [B, T, C] with kernel size K, and silu where nothing else is said: parameters `<name>.weight` [C, K] and
 * `<name>.bias` [C], state `<name>` [B, K - 1, C].
 */
export function convolve(
  x: Tensor,
  name: string,
  size: number,
  context: BlockContext,
  bias: boolean,
  activation: Activation = "silu",
): Tensor {
  const channels = fixedDimAt(x.shape, -1);
  const bound = 1 / Math.sqrt(size);
  const weight = context.parameter(`${name}.weight`, [channels, size], { kind: "uniform", low: -bound, high: bound });
  const past = size > 1 ? context.state(name, ["B", size - 1, channels]) : undefined;
  const { output, present } = causalConv(x, weight, {
    bias: bias ? context.bias(`${name}.bias`, channels) : undefined,
    past,
  });
  if (present !== undefined) context.next(name, present);
  return activate(output, activation);
}

/** [B, T, H · d] → [B, T, H, d]. */
export function splitHeads(x: Tensor, heads: number): Tensor {
  return reshape(x, [...x.shape.slice(0, 2), heads, fixedDimAt(x.shape, -1) / heads]);
}

/** [B, T, H, d] → [B, T, H · d]. */
export function joinHeads(x: Tensor): Tensor {
  return reshape(x, [...x.shape.slice(0, 2), fixedDimAt(x.shape, 2) * fixedDimAt(x.shape, 3)]);
}

export type Activation = "none" | "silu" | "sigmoid" | "gelu" | "gelu_tanh" | "relu" | "relu2";

const activations: { readonly [A in Activation]: (x: Expression) => Expression } = {
  none: (x) => x,
  silu,
  sigmoid,
  gelu,
  gelu_tanh: geluTanh,
  relu,
  relu2: (x) => square(relu(x)),
};

/** The function of one element. */
export const activationOf = (activation: Activation): ((x: Expression) => Expression) => activations[activation];

export function activate(x: Tensor, activation: Activation): Tensor {
  return activation === "none" ? x : pointwise(x, activations[activation]);
}

/** x · act(gate), or x itself where there is no gate. */
export function applyGate(x: Tensor, gate: Tensor | undefined, activation: Activation): Tensor {
  return gate === undefined ? x : mul(x, activate(gate, activation));
}
