// The same model with every mixer replaced by full attention: what a hybrid is compared with.
import type { ArchitectureSpec, AttentionSpec, MixerSpec, ResolvedBranch } from "../spec/types.ts";
import { familyOf } from "./describe.ts";

/** Width of a head where the model has no attention to take it from, the field's usual size. */
const USUAL_HEAD_DIM = 64;

/** The largest divisor of `width` that is at most `limit`. */
function largestDivisor(width: number, limit: number): number {
  let divisor = Math.min(width, limit);
  while (width % divisor !== 0) divisor--;
  return divisor;
}

function attentionsOf(spec: ArchitectureSpec): AttentionSpec[] {
  const operators = spec.layers.flatMap((layer) => layer.branches.map((branch) => branch.operator));
  return operators.filter((operator) => operator.type === "attention");
}

/**
 * Full attention whose heads are together as wide as the residual stream. Width of heads, sharing of keys and positions are
 * those of the model's own attention where it has some; else heads of 64, each with its own keys, and no rope.
 */
export function equalAttention(spec: ArchitectureSpec): AttentionSpec {
  const [own] = attentionsOf(spec);
  const { d_model } = spec;
  const wanted = own?.head_dim ?? USUAL_HEAD_DIM;
  const head_dim = d_model % wanted === 0 ? wanted : largestDivisor(d_model, Math.max(wanted, 1));
  const n_heads = d_model / head_dim;
  const shared = own === undefined ? 1 : own.n_heads / own.n_kv_heads;
  const rope = own?.rope ?? null;
  return {
    type: "attention",
    n_heads,
    n_kv_heads: n_heads % shared === 0 ? n_heads / shared : n_heads,
    head_dim,
    value_head_dim: head_dim,
    rope: rope !== null && rope.rotary_dim <= head_dim ? rope : null,
    window: null,
    softcap: own?.softcap ?? null,
    qk_norm: own?.qk_norm ?? null,
    share_kv: false,
    sink: own?.sink ?? false,
    scale: 1 / Math.sqrt(head_dim),
    qkv_bias: own?.qkv_bias ?? false,
    output_bias: own?.output_bias ?? false,
    output_gate: own?.output_gate ?? "none",
  };
}

const isMixer = (operator: ResolvedBranch["operator"]): operator is MixerSpec => familyOf[operator.type] !== "ffn";

/** `spec` with {@link equalAttention} in place of every mixer, windowed attention included; FFNs stay as they are. */
export function attentionOnly(spec: ArchitectureSpec): ArchitectureSpec {
  const attention = equalAttention(spec);
  const replace = (branch: ResolvedBranch): ResolvedBranch =>
    isMixer(branch.operator) ? { ...branch, operator: attention, adapter: null } : branch;
  return {
    ...spec,
    name: `${spec.name} with attention only`,
    layers: spec.layers.map((layer) => ({ ...layer, out_proj: false, branches: layer.branches.map(replace) })),
  };
}
