// Linear attention with a fixed decay per head: plain (Katharopoulos et al. 2020), RetNet (Sun et al. 2023) and lightning
// attention (Qin et al. 2024) differ in decay, feature map, norm and gate.
import { add, call, type Expression, exp, literal, relu, silu } from "../graph/expression.ts";
import { constant } from "../graph/leaves.ts";
import type { Tensor } from "../graph/types.ts";
import { linearAttention as linearAttentionOp } from "../ops/linear-attention/op.ts";
import { pointwise } from "../ops/map/op.ts";
import type { LinearAttentionSpec } from "../spec/types.ts";
import type { BlockContext } from "./context.ts";
import { applyNorm } from "./norm.ts";
import { activate, applyGate, joinHeads, project, projectOut, splitHeads } from "./projections.ts";
import { applyRope } from "./rope.ts";

const featureMaps: { readonly [M in LinearAttentionSpec["feature_map"]]: (x: Expression) => Expression } = {
  none: (x) => x,
  silu,
  relu,
  // elu(x) + 1: x + 1 above zero, exp(x) below.
  elu_plus_one: (x) =>
    call("where", call("greater", x, literal(0)), add(x, literal(1)), exp(call("min", x, literal(0)))),
};

/** x [B, T, d_model] → [B, T, d_model]. State: kv [B, n_kv_heads, key_head_dim, value_head_dim]. */
export function linearAttention(x: Tensor, spec: LinearAttentionSpec, context: BlockContext): Tensor {
  const { n_heads, n_kv_heads, key_head_dim, value_head_dim, output_gate, output_norm } = spec;
  const gate = output_gate === "none" ? undefined : project(x, "g_proj", n_heads * value_head_dim, context, spec.bias);
  const branch = (name: string, heads: number, size: number): Tensor =>
    splitHeads(project(x, `${name}_proj`, heads * size, context, spec.bias), heads);
  const feature = (t: Tensor): Tensor =>
    applyRope(spec.feature_map === "none" ? t : pointwise(t, featureMaps[spec.feature_map]), spec.rope, context);
  const q = feature(branch("q", n_heads, key_head_dim));
  const k = feature(branch("k", n_kv_heads, key_head_dim));
  const v = activate(branch("v", n_kv_heads, value_head_dim), spec.value_activation);
  const { output, finalState } = linearAttentionOp(spec.log_decay === null ? "linear" : "gated", q, k, v, {
    decay: spec.log_decay === null ? undefined : constant(spec.log_decay, [1, 1, n_kv_heads]),
    initialState: context.state("kv", ["B", n_kv_heads, key_head_dim, value_head_dim]),
    scale: spec.scale,
  });
  context.next("kv", finalState);
  const normed = applyNorm(
    joinHeads(output),
    output_norm,
    "o_norm",
    context,
    output_norm?.over === "head" ? n_heads : 1,
  );
  return projectOut(applyGate(normed, gate, output_gate), "o_proj", context, spec.bias);
}
