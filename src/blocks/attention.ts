// Causal softmax attention: multi-head, grouped-query (Ainslie et al. 2023) and multi-query, full or in a window.
import { type Dim, GraphError } from "../graph/shape.ts";
import type { Tensor } from "../graph/types.ts";
import { attention as attentionOp } from "../ops/attention/op.ts";
import type { AttentionSpec } from "../spec/types.ts";
import type { BlockContext, KeyValues } from "./context.ts";
import { applyNorm } from "./norm.ts";
import { applyGate, joinHeads, project, projectOut, splitHeads } from "./projections.ts";
import { applyRope } from "./rope.ts";

/**
 * x [B, T, d_model] → [B, T, d_model]. States: key [B, n, n_kv_heads, head_dim] and value [B, n, n_kv_heads,
 * value_head_dim], n the context capacity, or the window where that is less.
 */
export function attention(x: Tensor, spec: AttentionSpec, context: BlockContext): Tensor {
  const { n_heads, n_kv_heads, head_dim, value_head_dim, window } = spec;
  const gate =
    spec.output_gate === "none" ? undefined : project(x, "g_proj", n_heads * value_head_dim, context, spec.qkv_bias);
  const q = heads(project(x, "q_proj", n_heads * head_dim, context, spec.qkv_bias), "q_norm", n_heads);
  const { k, v, ...past } = spec.share_kv ? sharedKeys(context) : ownKeys();
  const { output, presentKey, presentValue } = attentionOp(q, k, v, {
    ...past,
    position: context.position,
    sink: spec.sink ? context.bias("sink", n_heads) : undefined,
    scale: spec.scale,
    causal: true,
    window: window ?? 0,
    softcap: spec.softcap ?? 0,
  });
  // Where keys are shared, the layer that made them keeps the cache: states of that name are not this layer's.
  if (presentKey !== undefined) context.next("key", presentKey);
  if (presentValue !== undefined) context.next("value", presentValue);
  return projectOut(applyGate(joinHeads(output), gate, spec.output_gate), "o_proj", context, spec.output_bias);

  function ownKeys(): KeyValues {
    const k = heads(project(x, "k_proj", n_kv_heads * head_dim, context, spec.qkv_bias), "k_norm", n_kv_heads);
    const v = splitHeads(project(x, "v_proj", n_kv_heads * value_head_dim, context, spec.qkv_bias), n_kv_heads);
    const capacity: Dim = window === null ? "C" : `C<${window}`;
    const pastKey = context.state("key", ["B", capacity, n_kv_heads, head_dim]);
    const pastValue = context.state("value", ["B", capacity, n_kv_heads, value_head_dim]);
    const made = { k, v, pastKey, pastValue };
    context.keys.latest = made;
    return made;
  }

  function heads(projected: Tensor, norm: string, count: number): Tensor {
    const over = spec.qk_norm?.over;
    const flat = over === "all" ? applyNorm(projected, spec.qk_norm, norm, context) : projected;
    const split = splitHeads(flat, count);
    return applyRope(over === "head" ? applyNorm(split, spec.qk_norm, norm, context) : split, spec.rope, context);
  }
}

function sharedKeys({ keys }: BlockContext): KeyValues {
  if (keys.latest === undefined)
    throw new GraphError("attention shares the keys of a layer before it, and there is none");
  return keys.latest;
}
