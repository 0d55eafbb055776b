// Gated DeltaNet (Yang, Kautz & Hatamizadeh 2024, arXiv 2412.06464); with a decay per channel Kimi Delta Attention (Kimi Team
// 2025, arXiv 2510.26692, section 3).
import { add, exp, input, literal, mul, neg, sigmoid, softplus } from "../graph/expression.ts";
import type { Tensor } from "../graph/types.ts";
import { linearAttention } from "../ops/linear-attention/op.ts";
import { map, pointwise } from "../ops/map/op.ts";
import { reshape } from "../ops/reshape/op.ts";
import { l2Norm } from "../ops/rms-norm/op.ts";
import type { GatedDeltaSpec } from "../spec/types.ts";
import type { BlockContext } from "./context.ts";
import { applyNorm } from "./norm.ts";
import { applyGate, convolve, joinHeads, project, projectOut, projectThrough, splitHeads } from "./projections.ts";

/**
 * x [B, T, d_model] → [B, T, d_model]. States: conv_q, conv_k, conv_v [B, d_conv - 1, channels] and
 * delta [B, n_heads, key_head_dim, value_head_dim].
 */
export function gatedDelta(x: Tensor, spec: GatedDeltaSpec, context: BlockContext): Tensor {
  const { n_heads, n_key_heads, key_head_dim, value_head_dim } = spec;
  const branch = (name: string, heads: number, size: number): Tensor => {
    const projected = project(x, `${name}_proj`, heads * size, context, spec.bias);
    return splitHeads(convolve(projected, `conv_${name}`, spec.d_conv, context, spec.conv_bias), heads);
  };
  const gate =
    spec.output_gate === "none"
      ? undefined
      : projectThrough(x, "g_proj", n_heads * value_head_dim, spec.gate_rank, context, spec.bias);
  const q = l2Norm(branch("q", n_key_heads, key_head_dim), { eps: spec.qk_eps });
  const k = l2Norm(branch("k", n_key_heads, key_head_dim), { eps: spec.qk_eps });
  const v = branch("v", n_heads, value_head_dim);
  const strength = literal(spec.allow_neg_eigval ? 2 : 1);
  const beta = pointwise(project(x, "b_proj", n_heads, context, spec.bias), (b) => mul(strength, sigmoid(b)));
  const { output, finalState } = linearAttention("gated_delta", q, k, v, {
    decay: logDecay(x, spec, context),
    beta,
    initialState: context.state("delta", ["B", n_heads, key_head_dim, value_head_dim]),
    scale: key_head_dim ** -0.5,
  });
  context.next("delta", finalState);
  const normed = applyNorm(output, spec.output_norm, "o_norm", context);
  const gated = applyGate(normed, gate === undefined ? undefined : splitHeads(gate, n_heads), spec.output_gate);
  return projectOut(joinHeads(gated), "o_proj", context, spec.bias);
}

/** -exp(A_log) · softplus(a + dt_bias): [B, T, n_heads], or with a decay per channel [B, T, n_heads, key_head_dim]. */
function logDecay(x: Tensor, spec: GatedDeltaSpec, context: BlockContext): Tensor {
  const { n_heads, key_head_dim } = spec;
  const perChannel = spec.decay === "channel";
  const size = perChannel ? n_heads * key_head_dim : n_heads;
  const [low, high] = spec.A_init_range;
  const A = context.parameter("A_log", [n_heads], { kind: "log_uniform_values", low, high }, { decay: false });
  const dtBias = context.parameter(
    "dt_bias",
    [size],
    { kind: "inverse_softplus_log_uniform", low: spec.dt_min, high: spec.dt_max, floor: spec.dt_init_floor },
    { decay: false },
  );
  const a = projectThrough(x, "a_proj", size, spec.decay_rank, context, spec.bias);
  const rate = neg(mul(exp(input(2)), softplus(add(input(0), input(1)))));
  if (!perChannel) return map([a, dtBias, A], rate);
  return map([splitHeads(a, n_heads), reshape(dtBias, [n_heads, key_head_dim]), reshape(A, [n_heads, 1])], rate);
}
