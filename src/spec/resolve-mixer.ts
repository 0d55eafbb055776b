// Each mixer with its defaults, its derived sizes, and the checks that no schema can state.
import {
  type Context,
  checkDivides,
  checkOrder,
  checkRange,
  complain,
  divisorHint,
  pairOf,
  withDefaults,
  within,
} from "./context.ts";
import { resolveAttention, resolveLatentAttention, sharedWidth } from "./resolve-attention.ts";
import { innerEps, resolveHeadNorm, resolveInnerNorm } from "./resolve-norm.ts";
import { resolveRope } from "./resolve-rope.ts";
import type {
  GatedDeltaFields,
  LinearAttentionFields,
  Mamba2Fields,
  MambaFields,
  MixerFields,
  RgLruFields,
  RnnFields,
  S4DFields,
} from "./types.generated.ts";
import type {
  GatedDeltaSpec,
  GatedNormSpec,
  LinearAttentionSpec,
  Mamba2Spec,
  MambaSpec,
  MixerSpec,
  RgLruSpec,
  RnnSpec,
  S4dSpec,
} from "./types.ts";

/** How each type of mixer is resolved; a type without a row does not compile. */
const MIXERS: {
  readonly [T in MixerFields["type"]]: (context: Context, fields: Extract<MixerFields, { type: T }>) => MixerSpec;
} = {
  mamba: resolveMamba,
  mamba2: resolveMamba2,
  gated_delta: resolveGatedDelta,
  linear_attention: resolveLinearAttention,
  attention: resolveAttention,
  latent_attention: resolveLatentAttention,
  short_conv: (_, fields) => withDefaults("short_conv", fields),
  rg_lru: resolveRgLru,
  wkv: (context, fields) => ({ ...withDefaults("wkv", fields), d_inner: fields.d_inner ?? context.d_model }),
  s4d: resolveS4d,
  rnn: resolveRnn,
};

/** A mixer whose fields the schema has accepted. */
export function resolveMixer<T extends MixerFields["type"]>(
  context: Context,
  fields: Extract<MixerFields, { type: T }> & { readonly type: T },
): MixerSpec {
  return MIXERS[fields.type](context, fields);
}

function resolveMamba(context: Context, fields: MambaFields): MambaSpec {
  const { d_state, d_conv, conv_bias, n_heads, bias, dt_min, dt_max, dt_init_floor, ...given } = withDefaults(
    "mamba",
    fields,
  );
  if (given.expand !== undefined && given.d_inner !== undefined) {
    complain(context, "d_inner", "d_inner and expand both give the inner width", "keep one of them");
  }
  const d_inner = given.d_inner ?? expandedWidth(context, given.expand);
  const dt_rank = typeof given.dt_rank === "number" ? given.dt_rank : Math.ceil(context.d_model / 16);
  const inner_norm = resolveInnerNorm(within(context, "inner_norm"), given.inner_norm ?? false);
  checkOrder(context, "dt_min", dt_min, "dt_max", dt_max);
  checkDivides(context, "n_heads", n_heads, "d_inner", d_inner);
  return {
    type: "mamba",
    d_inner,
    d_state,
    d_conv,
    dt_rank,
    conv_bias,
    n_heads,
    bias,
    output_bias: given.output_bias ?? bias,
    inner_norm,
    dt_min,
    dt_max,
    dt_init_floor,
  };
}

/** expand · d_model, a whole number. */
function expandedWidth(context: Context, expand = 2): number {
  const width = expand * context.d_model;
  const rounded = Math.round(width);
  if (context.d_model > 0 && (rounded < 1 || Math.abs(width - rounded) > 1e-6 * width)) {
    const message = `expand ${expand} times d_model ${context.d_model} is ${width}, not a whole number`;
    complain(context, "expand", message, "give d_inner instead");
  }
  return rounded;
}

function resolveMamba2(context: Context, fields: Mamba2Fields): Mamba2Spec {
  const { head_dim, d_state, n_groups, d_conv, conv_bias, bias, dt_min, dt_max, dt_init_floor, D_has_hdim, ...given } =
    withDefaults("mamba2", fields);
  let n_heads = given.n_heads;
  if (n_heads === undefined) {
    const width = expandedWidth(context, given.expand);
    n_heads = Math.floor(width / head_dim);
    if (width % head_dim !== 0) {
      const message = `head_dim ${head_dim} does not divide the inner width ${width} (expand · d_model)`;
      complain(context, "head_dim", message, divisorHint(head_dim, width));
      n_heads = Math.max(1, n_heads);
    }
  } else if (given.expand !== undefined && given.expand * context.d_model !== n_heads * head_dim) {
    const message = `expand ${given.expand} times d_model ${context.d_model} is not n_heads ${n_heads} times head_dim ${head_dim}`;
    complain(context, "expand", message, "leave expand out: n_heads and head_dim give the inner width");
  }
  const d_inner = n_heads * head_dim;
  checkDivides(context, "n_groups", n_groups, "n_heads", n_heads);
  checkOrder(context, "dt_min", dt_min, "dt_max", dt_max);
  const dt_limit = pairOf(given.dt_limit);
  checkRange(context, "dt_limit", dt_limit);
  const A_init_range = pairOf(given.A_init_range);
  checkRange(context, "A_init_range", A_init_range);
  const gated_norm = resolveGatedNorm(within(context, "gated_norm"), given.gated_norm ?? true, d_inner);
  return {
    type: "mamba2",
    n_heads,
    head_dim,
    d_inner,
    d_state,
    n_groups,
    d_conv,
    conv_bias,
    bias,
    output_bias: given.output_bias ?? bias,
    in_proj_scale: withDefaults("in_proj_scale", given.in_proj_scale ?? {}),
    gated_norm,
    dt_limit,
    dt_min,
    dt_max,
    dt_init_floor,
    A_init_range,
    D_has_hdim,
  };
}

function resolveGatedNorm(
  context: Context,
  fields: NonNullable<Mamba2Fields["gated_norm"]>,
  d_inner: number,
): GatedNormSpec | null {
  if (fields === false) return null;
  const { order, groups, eps } = withDefaults("gated_norm", fields === true ? {} : fields);
  checkDivides(context, "groups", groups, "the inner width", d_inner);
  return { order, groups, eps: eps ?? innerEps(context) };
}

function resolveGatedDelta(context: Context, fields: GatedDeltaFields): GatedDeltaSpec {
  const { n_key_heads, value_head_dim, output_norm, A_init_range, decay_rank, gate_rank, ...given } = withDefaults(
    "gated_delta",
    fields,
  );
  const keyHeads = n_key_heads ?? given.n_heads;
  checkDivides(context, "n_key_heads", keyHeads, "n_heads", given.n_heads);
  checkOrder(context, "dt_min", given.dt_min, "dt_max", given.dt_max);
  const range = pairOf(A_init_range);
  checkRange(context, "A_init_range", range);
  if (gate_rank !== undefined && given.output_gate === "none") {
    complain(context, "gate_rank", "gate_rank is of the output gate, and there is none");
  }
  return {
    ...given,
    decay_rank: decay_rank ?? null,
    gate_rank: gate_rank ?? null,
    n_key_heads: keyHeads,
    value_head_dim: value_head_dim ?? given.key_head_dim,
    output_norm: resolveInnerNorm(within(context, "output_norm"), output_norm ?? true),
    A_init_range: range,
  };
}

function resolveLinearAttention(context: Context, fields: LinearAttentionFields): LinearAttentionSpec {
  const { n_heads, feature_map, value_activation, output_gate, bias, ...given } = withDefaults(
    "linear_attention",
    fields,
  );
  const n_kv_heads = given.n_kv_heads ?? n_heads;
  checkDivides(context, "n_kv_heads", n_kv_heads, "n_heads", n_heads);
  const key_head_dim = given.key_head_dim ?? sharedWidth(context, n_heads, "key_head_dim");
  return {
    type: "linear_attention",
    n_heads,
    n_kv_heads,
    key_head_dim,
    value_head_dim: given.value_head_dim ?? key_head_dim,
    feature_map,
    value_activation,
    log_decay: logDecay(context, given.decay, n_kv_heads),
    rope: resolveRope(within(context, "rope"), given.rope ?? false, key_head_dim),
    scale: given.scale ?? 1 / Math.sqrt(key_head_dim),
    output_norm: resolveHeadNorm(within(context, "output_norm"), given.output_norm ?? true),
    output_gate,
    bias,
  };
}

/** Natural logs of the heads' decays: RetNet (Sun et al. 2023, eq. 8) or lightning (Qin et al. 2024) slopes, or given. */
function logDecay(context: Context, decay: string | readonly number[], heads: number): readonly number[] | null {
  if (decay === "none") return null;
  if (decay === "retnet") return Array.from({ length: heads }, (_, h) => Math.log1p(-(2 ** (-5 - h))));
  if (decay === "lightning") {
    const { index, count } = context.depth;
    const byDepth = 1 - index / (count - 1 + 1e-5) + 1e-5;
    return Array.from({ length: heads }, (_, h) => -(2 ** ((-8 * (h + 1)) / heads)) * byDepth);
  }
  if (typeof decay === "string") return null;
  if (decay.length !== heads) {
    complain(context, "decay", `decay holds ${decay.length} factors; it takes one per key head, ${heads}`);
  }
  return decay.map(Math.log);
}

function resolveS4d(context: Context, fields: S4DFields): S4dSpec {
  const spec = withDefaults("s4d", fields);
  checkOrder(context, "dt_min", spec.dt_min, "dt_max", spec.dt_max);
  if (spec.A_init !== "s4d_real" && spec.d_state % 2 !== 0) {
    complain(
      context,
      "d_state",
      `d_state ${spec.d_state} is odd; complex modes come in pairs`,
      "or use A_init: s4d_real",
    );
  }
  return spec;
}

function resolveRnn(context: Context, fields: RnnFields): RnnSpec {
  const { d_hidden, ...given } = withDefaults("rnn", fields);
  return { ...given, d_hidden: d_hidden ?? context.d_model };
}

function resolveRgLru(context: Context, fields: RgLruFields): RgLruSpec {
  const { d_inner, ...given } = withDefaults("rg_lru", fields);
  const width = d_inner ?? context.d_model;
  checkDivides(context, "n_heads", given.n_heads, d_inner === undefined ? "d_model" : "d_inner", width);
  return { ...given, d_inner: width };
}
