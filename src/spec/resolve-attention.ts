// Softmax attention, with keys of its own or made from a narrow vector: defaults, derived sizes and checks.
import { type Context, checkDivides, complain, divisorHint, withDefaults, within } from "./context.ts";
import { resolveHeadNorm, resolveInnerNorm } from "./resolve-norm.ts";
import { resolveRope } from "./resolve-rope.ts";
import type { AttentionFields, LatentAttentionFields } from "./types.generated.ts";
import type { AttentionSpec, LatentAttentionSpec } from "./types.ts";

export function resolveAttention(context: Context, fields: AttentionFields): AttentionSpec {
  const { n_heads, share_kv, sink, qkv_bias, output_bias, output_gate, ...given } = withDefaults("attention", fields);
  const n_kv_heads = given.n_kv_heads ?? n_heads;
  checkDivides(context, "n_kv_heads", n_kv_heads, "n_heads", n_heads);
  const head_dim = given.head_dim ?? sharedWidth(context, n_heads, "head_dim");
  return {
    type: "attention",
    n_heads,
    n_kv_heads,
    head_dim,
    value_head_dim: given.value_head_dim ?? head_dim,
    rope: resolveRope(within(context, "rope"), given.rope ?? false, head_dim),
    window: given.window ?? null,
    softcap: given.softcap ?? null,
    qk_norm: resolveHeadNorm(within(context, "qk_norm"), given.qk_norm ?? false),
    share_kv,
    sink,
    scale: given.scale ?? 1 / Math.sqrt(head_dim),
    qkv_bias,
    output_bias,
    output_gate,
  };
}

export function resolveLatentAttention(context: Context, fields: LatentAttentionFields): LatentAttentionSpec {
  const { q_rank, value_head_dim, rope, window, softcap, latent_norm, scale, ...given } = withDefaults(
    "latent_attention",
    fields,
  );
  return {
    ...given,
    q_rank: q_rank ?? null,
    value_head_dim: value_head_dim ?? given.head_dim,
    rope: resolveRope(within(context, "rope"), rope ?? false, given.rope_head_dim),
    window: window ?? null,
    softcap: softcap ?? null,
    latent_norm: resolveInnerNorm(within(context, "latent_norm"), latent_norm ?? true),
    scale: scale ?? 1 / Math.sqrt(given.head_dim + given.rope_head_dim),
  };
}

/** d_model / n_heads, where the width of a head is left out. */
export function sharedWidth(context: Context, n_heads: number, field: string): number {
  if (context.d_model % n_heads !== 0) {
    const hint = `give ${field}, or change n_heads${nearestOf(divisorHint(n_heads, context.d_model))}`;
    complain(context, "n_heads", `n_heads ${n_heads} does not divide d_model ${context.d_model}`, hint);
  }
  return Math.floor(context.d_model / n_heads);
}

const nearestOf = (hint: string | undefined): string => (hint === undefined ? "" : ` (${hint})`);
