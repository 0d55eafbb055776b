// A training step as two graphs. `buildGradients`: forward and backward pass, gradients into buffers of their own (added
// to them when accumulating). `buildUpdate`: AdamW on the weights in place. Between the two the host sees loss and
// gradient norm, so a step that went wrong is stopped before it touches a weight.
import { excessName } from "../blocks/balance.ts";
import { buildLoss, buildObjective } from "../blocks/model.ts";
import * as ex from "../graph/expression.ts";
import { makeGraph, parameterAttributes } from "../graph/graph.ts";
import { input, scalar, state } from "../graph/leaves.ts";
import { type Graph, type NamedTensor, type StateBinding, type Tensor, withScope } from "../graph/types.ts";
import { adamw } from "../ops/adamw/op.ts";
import { differentiate } from "../ops/gradients.ts";
import { map } from "../ops/map/op.ts";
import { finish, prepare } from "../ops/passes/optimise.ts";
import { reduce } from "../ops/reduce/op.ts";
import type { ArchitectureSpec } from "../spec/types.ts";

export interface AdamwOptions {
  readonly betas: readonly [beta1: number, beta2: number];
  readonly eps: number;
  /** Applies to matrices and embeddings; never to norms, biases, A_log, D and dt_bias. */
  readonly weightDecay: number;
}

export interface GradientOptions {
  /** Recompute layers in the backward pass instead of keeping their activations. */
  readonly checkpointing: boolean;
  /** Add to the gradients of earlier micro-batches instead of replacing them. */
  readonly accumulate: boolean;
  /** Micro-batches of a step: gradients and loss are divided by it. */
  readonly microBatches: number;
}

/** Name of the buffer that holds the gradient of a parameter. */
export const gradientName = (parameter: string): string => `gradient.${parameter}`;
/** Names of AdamW's moment buffers. */
export const momentName = (moment: "m" | "v", parameter: string): string => `${moment}.${parameter}`;

/** Outputs of the gradient program besides loss and gradient norm that a model with experts has (blocks/balance.ts). */
export const ROUTER_FACTS = ["balance_loss", "z_loss", "peak_load"] as const;

/**
 * Inputs `tokens` and `targets` i32 [B, T]; outputs `loss` [] (mean over the targets of this micro-batch), `gradient_norm` []
 * (of the gradients accumulated so far) and those of {@link ROUTER_FACTS} that there are; states `gradient.<parameter>`. A
 * router's bias, which has none, gets by how much its experts are chosen too often in place of a gradient.
 */
export function buildGradients(
  spec: ArchitectureSpec,
  { checkpointing, accumulate, microBatches }: GradientOptions,
): Graph {
  const forward = prepare(buildObjective(spec));
  const outputOf = (name: string): Tensor | undefined => forward.outputs.find((output) => output.name === name)?.tensor;
  const [loss, objective] = [outputOf("loss"), outputOf("objective")];
  if (loss === undefined || objective === undefined) throw new Error("the graph has no loss");
  const parameters = forward.parameters;
  const gradients = differentiate(
    [{ tensor: objective, gradient: scalar(1 / microBatches) }],
    parameters.map((p) => p.tensor),
  );
  const learned: Tensor[] = [];
  const states: StateBinding[] = [];
  for (const [i, { name, tensor }] of parameters.entries()) {
    const leaf = state(gradientName(name), tensor.shape);
    const excess = outputOf(excessName(name));
    // A parameter that the loss does not depend on has gradient zero.
    const gradient = excess ?? gradients[i] ?? map([tensor], ex.mul(ex.input(0), ex.literal(0)));
    const output = accumulate ? map([leaf, gradient], ex.add(ex.input(0), ex.input(1))) : gradient;
    if (excess === undefined) learned.push(output);
    states.push({ name: gradientName(name), input: leaf, output });
  }
  const norm = withScope("gradient_norm", () => {
    const squares = learned.map((gradient) => reduce(gradient, "sum_squares"));
    return map([sumAll(squares)], ex.call("sqrt", ex.input(0)));
  });
  const outputs: NamedTensor[] = [
    { name: "loss", tensor: loss },
    { name: "gradient_norm", tensor: norm },
  ];
  for (const name of ROUTER_FACTS) {
    const tensor = outputOf(name);
    if (tensor !== undefined) outputs.push({ name, tensor });
  }
  if (objective !== loss) outputs.push({ name: "objective", tensor: objective });
  const target = objective === loss ? "loss" : "objective";
  return finish(makeGraph({ outputs, states }), { checkpoint: checkpointing ? target : undefined });
}

/** Balanced sum of scalars, so that rounding does not depend much on their number. */
function sumAll(values: readonly Tensor[]): Tensor {
  const [first] = values;
  if (first === undefined) return scalar(0);
  if (values.length === 1) return first;
  const middle = values.length >> 1;
  const [left, right] = [sumAll(values.slice(0, middle)), sumAll(values.slice(middle))];
  return map([left, right], ex.add(ex.input(0), ex.input(1)));
}

/** value − rate · sign(gradient). */
function moveBySign(value: Tensor, gradient: Tensor, rate: number): Tensor {
  const [x, g, zero] = [ex.input(0), ex.input(1), ex.literal(0)];
  const sign = ex.sub(ex.call("greater", g, zero), ex.call("greater", zero, g));
  return map([value, gradient], ex.sub(x, ex.mul(ex.literal(rate), sign)));
}

/**
 * Inputs `hyper` [4] = (learning rate, 1 - beta1^t, 1 - beta2^t, unused) and `gradient_scale` [] (clipping); states: the
 * parameters, `gradient.…`, `m.…` and `v.…`.
 */
export function buildUpdate(spec: ArchitectureSpec, { betas, eps, weightDecay }: AdamwOptions): Graph {
  const hyper = input("hyper", [4]);
  const gradientScale = input("gradient_scale", []);
  const states: StateBinding[] = [];
  for (const { name, tensor } of buildLoss(spec).parameters) {
    const { shape, decay, signRate } = parameterAttributes(tensor);
    const gradient = state(gradientName(name), shape);
    if (signRate !== undefined) {
      states.push({ name, input: tensor, output: moveBySign(tensor, gradient, signRate) });
      states.push({ name: gradientName(name), input: gradient, output: gradient });
      continue;
    }
    const [m, v] = [state(momentName("m", name), shape), state(momentName("v", name), shape)];
    const attributes = { beta1: betas[0], beta2: betas[1], eps, weightDecay: decay ? weightDecay : 0 };
    const next = adamw({ parameter: tensor, gradient, m, v, hyper, gradientScale }, attributes);
    states.push(
      { name, input: tensor, output: next.parameter },
      { name: momentName("m", name), input: m, output: next.m },
      { name: momentName("v", name), input: v, output: next.v },
      { name: gradientName(name), input: gradient, output: gradient },
    );
  }
  return makeGraph({ outputs: [], states });
}
