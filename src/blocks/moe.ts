// A mixture of experts (Shazeer et al. 2017): a router sends each token to a few of many networks; a shared expert may see them
// all. Only chosen experts are computed. Their results are weighted before the last projection, which is linear, so that one
// elementwise step does activation, gate and weight.
import { type Expression, input, mul as multiply } from "../graph/expression.ts";
import { fixedDimAt } from "../graph/shape.ts";
import type { Tensor } from "../graph/types.ts";
import { expertMatmul, type Routing } from "../ops/expert-matmul/op.ts";
import { groupRows } from "../ops/group-rows/op.ts";
import { add, map, mul } from "../ops/map/op.ts";
import { linear } from "../ops/matmul/op.ts";
import { reduce } from "../ops/reduce/op.ts";
import { reshape } from "../ops/reshape/op.ts";
import { topK } from "../ops/top-k/op.ts";
import type { MoeSpec, SharedExpertSpec } from "../spec/types.ts";
import type { BlockContext } from "./context.ts";
import { mlp } from "./mlp.ts";
import { activate, activationOf, project, projectOut } from "./projections.ts";

/** x [B, T, d_model] → [B, T, d_model]. */
export function moe(x: Tensor, spec: MoeSpec, context: BlockContext): Tensor {
  const { latent, shared } = spec;
  const chosen = route(x, spec, context);
  const narrow = latent === null ? x : project(x, "latent_in", latent, context);
  const sum = experts(narrow, chosen, spec, context);
  const routed = latent === null ? sum : projectOut(sum, "latent_out", context);
  return shared === null ? routed : add(routed, sharedExpert(x, spec, shared, context));
}

interface Chosen extends Routing {
  /** [B, T, k] */
  readonly weights: Tensor;
}

/** Which experts each token goes to, and what they weigh. */
function route(x: Tensor, { n_experts, top_k, router }: MoeSpec, context: BlockContext): Chosen {
  const logits = linear(x, context.weight("router.weight", n_experts, fixedDimAt(x.shape, -1)));
  const bias = router.selection_bias
    ? context.parameter(
        "router.selection_bias",
        [n_experts],
        { kind: "zeros" },
        { decay: false, signRate: router.bias_rate },
      )
    : undefined;
  const { weights, indices } = topK(
    logits,
    {
      ...{ k: top_k, score: router.score, normalize: router.normalize, normalizeEps: router.normalize_eps },
      ...{ scale: router.scale, groups: router.n_groups, topGroups: router.top_groups },
    },
    bias,
  );
  const { order, starts, counts } = groupRows(indices, n_experts);
  context.route({ spec: router, logits, choices: top_k, counts, bias });
  return { weights, indices, order, starts };
}

/** Σ_j weight_j · down_{i_j}(hidden_{i_j}(x)), [B, T, latent or d_model]. */
function experts(x: Tensor, { weights, ...routing }: Chosen, spec: MoeSpec, context: BlockContext): Tensor {
  const { n_experts, d_ff, gated, latent } = spec;
  const width = fixedDimAt(x.shape, -1);
  const into = (name: string): Tensor =>
    expertMatmul(x, context.weight(`experts.${name}.weight`, d_ff, width, n_experts), routing);
  const up = into("up_proj");
  const weight = reshape(weights, [...weights.shape, 1]);
  const activation = activationOf(spec.activation);
  const weighted = (hidden: Expression): Expression => multiply(hidden, input(1));
  const hidden = gated
    ? map([into("gate_proj"), weight, up], weighted(multiply(activation(input(0)), input(2))))
    : map([up, weight], weighted(activation(input(0))));
  const down = context.outputWeight("experts.down_proj.weight", latent ?? context.width, d_ff, n_experts);
  return reduce(expertMatmul(hidden, down, routing), "sum", [-2]);
}

function sharedExpert(
  x: Tensor,
  { activation, gated }: MoeSpec,
  { d_ff, bias, gate }: SharedExpertSpec,
  context: BlockContext,
): Tensor {
  const plain = { gate_scale: 1, token_shift: false, output_gate: "none" } as const;
  const result = mlp(x, { type: "mlp", d_ff, activation, gated, bias, ...plain }, within(context, "shared"));
  if (gate === "none") return result;
  return mul(result, activate(project(x, "shared.output_gate", 1, context), gate));
}

/** The context with `scope` before the names of parameters. */
function within(context: BlockContext, scope: string): BlockContext {
  return {
    ...context,
    parameter: (name, ...rest) => context.parameter(`${scope}.${name}`, ...rest),
    weight: (name, ...rest) => context.weight(`${scope}.${name}`, ...rest),
    outputWeight: (name, ...rest) => context.outputWeight(`${scope}.${name}`, ...rest),
    bias: (name, size) => context.bias(`${scope}.${name}`, size),
    adapter: (name, ...rest) => context.adapter(`${scope}.${name}`, ...rest),
  };
}
