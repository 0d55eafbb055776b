// Multi-head latent attention (DeepSeek-V2 2024, arXiv 2405.04434, section 2.1). Without states the heads' keys and values are
// made from the narrow vectors and attended to as ever. With states the cache holds the narrow vectors, and the matrices that
// would make keys and values of them move to the queries and the outputs: q · (W c) = (Wᵀ q) · c, so that all heads read one
// narrow key (section 2.1.2, "absorbed").
import { add, input } from "../graph/expression.ts";
import { constant } from "../graph/leaves.ts";
import type { Dim } from "../graph/shape.ts";
import type { Tensor } from "../graph/types.ts";
import { type AttentionOptions, attention } from "../ops/attention/op.ts";
import { concat } from "../ops/concat/op.ts";
import { map } from "../ops/map/op.ts";
import { linear, matmul } from "../ops/matmul/op.ts";
import { reshape } from "../ops/reshape/op.ts";
import { slice } from "../ops/slice/op.ts";
import type { LatentAttentionSpec } from "../spec/types.ts";
import type { BlockContext } from "./context.ts";
import { applyNorm } from "./norm.ts";
import { project, projectOut, splitHeads } from "./projections.ts";
import { applyRope } from "./rope.ts";

/**
 * x [B, T, width] → [B, T, d_model]. States: key [B, n, 1, kv_rank + rope_head_dim] and value [B, n, 1, kv_rank], n the context
 * capacity, or the window where that is less.
 */
export function latentAttention(x: Tensor, spec: LatentAttentionSpec, context: BlockContext): Tensor {
  const { n_heads, kv_rank, head_dim, rope_head_dim, value_head_dim } = spec;
  const q = splitHeads(queries(x, spec, context), n_heads);
  const own = slice(q, 3, 0, head_dim);
  const turned = applyRope(slice(q, 3, head_dim, rope_head_dim), spec.rope, context);
  const latent = applyNorm(
    project(x, "kv_a_proj", kv_rank, context, spec.bias),
    spec.latent_norm,
    "kv_a_norm",
    context,
  );
  const common = splitHeads(project(x, "k_rope_proj", rope_head_dim, context, spec.bias), 1);
  const key = applyRope(common, spec.rope, context);
  const parts = { own, turned, latent, key };
  const output = context.position === undefined ? expanded(parts, spec, context) : absorbed(parts, spec, context);
  return projectOut(reshape(output, ["B", "T", n_heads * value_head_dim]), "o_proj", context, spec.output_bias);
}

function queries(x: Tensor, spec: LatentAttentionSpec, context: BlockContext): Tensor {
  const size = spec.n_heads * (spec.head_dim + spec.rope_head_dim);
  if (spec.q_rank === null) return project(x, "q_proj", size, context);
  const narrow = project(x, "q_a_proj", spec.q_rank, context, spec.bias);
  return project(applyNorm(narrow, spec.latent_norm, "q_a_norm", context), "q_b_proj", size, context);
}

interface Parts {
  /** Queries [B, T, H, head_dim] and [B, T, H, rope_head_dim]. */
  readonly own: Tensor;
  readonly turned: Tensor;
  /** [B, T, kv_rank] */
  readonly latent: Tensor;
  /** The common key, [B, T, 1, rope_head_dim]. */
  readonly key: Tensor;
}

const options = ({ scale, window, softcap }: LatentAttentionSpec): AttentionOptions => ({
  scale,
  causal: true,
  window: window ?? 0,
  softcap: softcap ?? 0,
});

/** Keys and values of every head, written out. */
function expanded({ own, turned, latent, key }: Parts, spec: LatentAttentionSpec, context: BlockContext): Tensor {
  const { n_heads, head_dim, value_head_dim } = spec;
  const keys = splitHeads(project(latent, "k_b_proj", n_heads * head_dim, context), n_heads);
  const values = splitHeads(project(latent, "v_b_proj", n_heads * value_head_dim, context), n_heads);
  const zeros = constant(new Array<number>(n_heads).fill(0), [n_heads, 1]);
  const spread = map([key, zeros], add(input(0), input(1)));
  return attention(concat([own, turned], 3), concat([keys, spread], 3), values, options(spec)).output;
}

/** The same result from the narrow vectors: one key for all heads, whose values are the vectors themselves. */
function absorbed({ own, turned, latent, key }: Parts, spec: LatentAttentionSpec, context: BlockContext): Tensor {
  const { n_heads, kv_rank, head_dim, rope_head_dim, value_head_dim, window } = spec;
  const keyWeight = context.weight("k_b_proj.weight", n_heads * head_dim, kv_rank);
  const valueWeight = context.weight("v_b_proj.weight", n_heads * value_head_dim, kv_rank);
  const perHead = (x: Tensor, size: number, apply: (x: Tensor, head: number) => Tensor): Tensor => {
    const heads = Array.from({ length: n_heads }, (_, head) =>
      apply(reshape(slice(x, 2, head, 1), ["B", "T", size]), head),
    );
    return splitHeads(concat(heads, 2), n_heads);
  };
  const asked = perHead(own, head_dim, (q, head) => matmul(q, slice(keyWeight, 0, head * head_dim, head_dim)));
  const capacity: Dim = window === null ? "C" : `C<${window}`;
  const values = splitHeads(latent, 1);
  const { output, presentKey, presentValue } = attention(concat([asked, turned], 3), concat([values, key], 3), values, {
    ...options(spec),
    pastKey: context.state("key", ["B", capacity, 1, kv_rank + rope_head_dim]),
    pastValue: context.state("value", ["B", capacity, 1, kv_rank]),
    position: context.position,
  });
  if (presentKey !== undefined) context.next("key", presentKey);
  if (presentValue !== undefined) context.next("value", presentValue);
  return perHead(output, kv_rank, (y, head) => linear(y, slice(valueWeight, 0, head * value_head_dim, value_head_dim)));
}
