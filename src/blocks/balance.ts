// What training adds to the loss of a mixture of experts, and what it tells about its routers.
import * as ex from "../graph/expression.ts";
import { leafName } from "../graph/graph.ts";
import { fixedDimAt } from "../graph/shape.ts";
import type { NamedTensor, Tensor } from "../graph/types.ts";
import { add, div, map, mul, pointwise, scale, sub } from "../ops/map/op.ts";
import { reduce } from "../ops/reduce/op.ts";
import type { Router } from "./context.ts";

/** Name of the output that says by how much each expert of a router's bias got more than the mean, in units of the mean. */
export const excessName = (bias: string): string => `excess.${bias}`;

export interface Balance {
  /** Σ over routers of coefficient · loss; undefined where all coefficients are 0. */
  readonly penalty: Tensor | undefined;
  /**
   * `balance_loss` and `z_loss` []: means over the routers that have them; `peak_load` []: the most tokens that an expert of any
   * router got, in units of the mean; and for each bias `excess.<parameter>` [experts].
   */
  readonly outputs: readonly NamedTensor[];
}

export function balance(routers: readonly Router[]): Balance {
  const outputs: NamedTensor[] = [];
  const penalties: Tensor[] = [];
  const report = (name: string, loss: (router: Router) => Tensor, coefficient: (router: Router) => number): void => {
    const counted = routers.filter((router) => coefficient(router) > 0);
    const losses = counted.map(loss);
    if (losses.length === 0) return;
    penalties.push(...losses.map((value, i) => scale(value, coefficient(counted[i] as Router))));
    outputs.push({ name, tensor: scale(sum(losses), 1 / losses.length) });
  };
  report("balance_loss", balanceLoss, (router) => router.spec.balance_loss);
  report("z_loss", zLoss, (router) => router.spec.z_loss);
  if (routers.length > 0) {
    const peaks = routers.map(({ counts }) => reduce(relativeLoad(counts), "max"));
    outputs.push({
      name: "peak_load",
      tensor: peaks.reduce((a, b) => map([a, b], ex.call("max", ex.input(0), ex.input(1)))),
    });
  }
  return { penalty: penalties.length === 0 ? undefined : sum(penalties), outputs: [...outputs, ...excesses(routers)] };
}

const sum = (terms: readonly Tensor[]): Tensor => terms.reduce((a, b) => add(a, b));

/** Tokens of each expert in units of the mean. */
const relativeLoad = (counts: Tensor): Tensor => div(counts, reduce(counts, "mean"));

/** One for each bias; layers that share one add up. */
function excesses(routers: readonly Router[]): NamedTensor[] {
  const found = new Map<Tensor, Tensor>();
  for (const { bias, counts } of routers) {
    if (bias === undefined) continue;
    const excess = pointwise(relativeLoad(counts), (load) => ex.sub(load, ex.literal(1)));
    const before = found.get(bias);
    found.set(bias, before === undefined ? excess : add(before, excess));
  }
  return [...found].map(([bias, tensor]) => ({ name: excessName(leafName(bias.node)), tensor }));
}

/**
 * experts · Σ_e f_e P_e, f_e the share of all choices that fell on e, P_e the mean over tokens of its score, scores of a token
 * adding up to 1 (Fedus et al. 2021, eq. 4; for sigmoids DeepSeek-AI 2024, eq. 17). 1 where all experts are used alike.
 */
function balanceLoss(router: Router): Tensor {
  const { spec, logits, counts } = router;
  const experts = fixedDimAt(logits.shape, -1);
  const scores = spec.score === "softmax" ? exponentials(logits).values : pointwise(logits, ex.sigmoid);
  const shares = div(scores, reduce(scores, "sum", [-1], { keepDims: true }));
  const mean = div(reduce(shares, "sum", [0, 1]), tokensOf(router));
  const fractions = div(counts, reduce(counts, "sum"));
  return scale(reduce(mul(fractions, mean), "sum"), experts);
}

/** The mean over tokens of log²(Σ exp(logits)) (Zoph et al. 2022, eq. 5). */
function zLoss(router: Router): Tensor {
  const { values, largest } = exponentials(router.logits);
  const sums = reduce(values, "sum", [-1], { keepDims: true });
  const logs = map([sums, largest], ex.add(ex.call("log", ex.input(0)), ex.input(1)));
  return div(reduce(pointwise(logs, ex.square), "sum"), tokensOf(router));
}

/** The number of tokens that the router has seen, []. */
const tokensOf = ({ counts, choices }: Router): Tensor => scale(reduce(counts, "sum"), 1 / choices);

/** exp(logits − largest), and the largest logit of each token. */
function exponentials(logits: Tensor): { readonly values: Tensor; readonly largest: Tensor } {
  const largest = reduce(logits, "max", [-1], { keepDims: true });
  return { values: pointwise(sub(logits, largest), ex.exp), largest };
}
