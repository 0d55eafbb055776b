// Operators in a few words, for tables and pictures. A type without a row does not compile.
import type { FfnSpec, MixerSpec, NormSpec, ResolvedBranch, ResolvedLayer } from "../spec/types.ts";

type Operator = MixerSpec | FfnSpec;

/** What kinds of operators have in common: for colours. */
export type Family = "ssm" | "linear_attention" | "attention" | "rnn" | "ffn";

export const familyOf: { readonly [T in Operator["type"]]: Family } = {
  mamba: "ssm",
  mamba2: "ssm",
  s4d: "ssm",
  short_conv: "ssm",
  rg_lru: "ssm",
  wkv: "linear_attention",
  latent_attention: "attention",
  gated_delta: "linear_attention",
  linear_attention: "linear_attention",
  attention: "attention",
  rnn: "rnn",
  mlp: "ffn",
  linear: "ffn",
  moe: "ffn",
};

type Words = readonly (string | false)[];

const describe: { readonly [T in Operator["type"]]: (operator: Extract<Operator, { type: T }>) => Words } = {
  mamba: (o) => [
    `d_inner ${o.d_inner}`,
    `d_state ${o.d_state}`,
    o.n_heads > 1 && `${o.n_heads} heads`,
    `d_conv ${o.d_conv}`,
    o.inner_norm !== null && "inner norms",
  ],
  mamba2: (o) => [
    heads(o.n_heads, o.head_dim),
    `d_state ${o.d_state}`,
    o.n_groups > 1 && `${o.n_groups} groups`,
    `d_conv ${o.d_conv}`,
  ],
  gated_delta: (o) => [
    `${o.n_heads} heads`,
    `keys ${o.key_head_dim}, values ${o.value_head_dim}`,
    o.n_key_heads !== o.n_heads && `${o.n_key_heads} key heads`,
    o.decay === "channel" && "decay per channel",
    `d_conv ${o.d_conv}`,
  ],
  linear_attention: (o) => [
    o.value_head_dim === o.key_head_dim
      ? heads(o.n_heads, o.key_head_dim)
      : `${o.n_heads} heads, keys ${o.key_head_dim}, values ${o.value_head_dim}`,
    o.n_kv_heads !== o.n_heads && `${o.n_kv_heads} kv heads`,
    o.log_decay === null ? "no decay" : "fixed decay",
    o.rope !== null && "rope",
  ],
  attention: (o) => [
    heads(o.n_heads, o.head_dim),
    o.n_kv_heads !== o.n_heads && `${o.n_kv_heads} kv`,
    o.window === null ? "full" : `window ${o.window}`,
    o.rope !== null && "rope",
    o.softcap !== null && `softcap ${o.softcap}`,
    o.qk_norm !== null && "qk-norm",
    o.share_kv && "shares keys",
    o.sink && "sink",
    o.output_gate !== "none" && "gated",
  ],
  latent_attention: (o) => [
    heads(o.n_heads, o.head_dim + o.rope_head_dim),
    `kv rank ${o.kv_rank}`,
    o.q_rank !== null && `q rank ${o.q_rank}`,
    o.window === null ? "full" : `window ${o.window}`,
    o.rope !== null && "rope",
    o.softcap !== null && `softcap ${o.softcap}`,
  ],
  short_conv: (o) => [`d_conv ${o.d_conv}`],
  rg_lru: (o) => [`d_inner ${o.d_inner}`, `${o.n_heads} heads`, `d_conv ${o.d_conv}`],
  wkv: (o) => [`d_inner ${o.d_inner}`, o.token_shift && "token shift"],
  s4d: (o) => [`d_state ${o.d_state}`, o.discretization, o.A_init],
  rnn: (o) => [o.cell, `d_hidden ${o.d_hidden}`],
  mlp: (o) => [
    `d_ff ${o.d_ff}`,
    o.gated ? `${o.activation} gated` : o.activation,
    o.token_shift && "token shift",
    o.output_gate !== "none" && "output gate",
  ],
  linear: () => [],
  moe: (o) => [
    `${o.top_k} of ${o.n_experts} experts`,
    `d_ff ${o.d_ff}`,
    o.gated ? `${o.activation} gated` : o.activation,
    o.latent !== null && `latent ${o.latent}`,
    o.shared !== null && `shared ${o.shared.d_ff}`,
  ],
};

const heads = (count: number, size: number): string => `${count} ${count === 1 ? "head" : "heads"} × ${size}`;

/** Sizes and options of an operator, most important first: ["d_inner 128", "d_state 16", "d_conv 4"]. */
export function describeOperator<T extends Operator["type"]>(
  operator: Extract<Operator, { type: T }> & { type: T },
): string[] {
  return describe[operator.type](operator).filter((word) => word !== false);
}

/** What surrounds an operator and is out of the ordinary: scales, further norms, no residual. */
export function describeBranch(branch: ResolvedBranch): string[] {
  return [
    ...surroundings({ in: branch.in_scale, out: branch.out_scale }, branch.post_norm),
    ...(branch.adapter === null ? [] : [`adapters of rank ${branch.adapter.rank}`]),
  ];
}

const reads: { readonly [I in ResolvedLayer["input"]]: string | false } = {
  stream: false,
  side: "reads the side",
  stream_plus_side: "reads stream + side",
  stream_and_embedding: "reads stream and embedding",
};

/** The same for a whole layer. */
export function describeLayer(layer: ResolvedLayer): string[] {
  const { source, scale } = layer.residual;
  const residual =
    source === "none"
      ? ["no residual"]
      : [source === "normed" && "residual from the norm", scale !== 1 && `residual × ${scale}`];
  const words = [
    reads[layer.input],
    layer.output === "side" && "to the side",
    layer.norm === null && "no norm",
    layer.combine === "mean" && layer.branches.length > 1 && "mean",
    ...surroundings({ in: layer.in_scale, out: layer.out_scale }, layer.post_norm),
    ...(layer.output === "side" ? [] : residual),
  ];
  return words.filter((word) => word !== false);
}

function surroundings(scales: { readonly in: number; readonly out: number }, postNorm: NormSpec | null): string[] {
  const words = [
    scales.in !== 1 && `in × ${round(scales.in)}`,
    postNorm !== null && "post-norm",
    scales.out !== 1 && `out × ${round(scales.out)}`,
  ];
  return words.filter((word) => word !== false);
}

const round = (value: number): number => Number(value.toPrecision(4));
