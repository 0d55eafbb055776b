// What an architecture file means once everything is resolved: `extends` merged, the layer pattern expanded, overrides
// applied, every default filled in and every derived size computed. Block builders read these types and nothing else.
// The types of the file itself, as users write it, are generated from the JSON Schema: types.generated.ts.
//
// Sizes are channel counts, `null` means "none", scales multiply, and field names are those of the file.
import type { LatentAttentionSpec, RgLruSpec, ShortConvSpec, WkvSpec } from "./mixer-types.ts";
import type { RopeSpec } from "./rope.ts";
import type { ArchitectureFile } from "./types.generated.ts";

export type { LatentAttentionSpec, RgLruSpec, ShortConvSpec, WkvSpec } from "./mixer-types.ts";
export type { RopeScalingSpec, RopeSpec } from "./rope.ts";

/** A whole architecture, ready to be built. */
export interface ArchitectureSpec {
  readonly name: string;
  readonly description: string;
  /** Width of the residual stream. */
  readonly d_model: number;
  readonly vocab_size: number;
  readonly embedding: EmbeddingSpec;
  /** Learned absolute positions added to the embeddings; null: none. Longer sequences are an error. */
  readonly positions: PositionsSpec | null;
  /** Residual branches from first to last. */
  readonly layers: readonly ResolvedLayer[];
  /** Norm between the last layer and the head; null: none. */
  readonly final_norm: NormSpec | null;
  readonly head: HeadSpec;
  readonly init: InitSpec;
  /** The file as plain data, `extends` merged: what `stringifySpec` writes. */
  readonly source: ArchitectureFile;
}

export interface EmbeddingSpec {
  /** Multiplies the looked-up vectors. */
  readonly scale: number;
  /** Norm of what enters the first layer, learned positions included; null: none. */
  readonly norm: NormSpec | null;
  /** Learned vectors before every sequence. */
  readonly prefix_tokens: number;
}

export interface PositionsSpec {
  readonly type: "learned";
  readonly max_length: number;
}

/** logits = softcap(scale · (W x + bias)), softcap(s) = cap · tanh(s / cap). */
export interface HeadSpec {
  /** W is the embedding table. */
  readonly tied: boolean;
  readonly bias: boolean;
  readonly scale: number;
  readonly softcap: number | null;
}

/** How weights without a rule of their own start. */
export interface InitSpec {
  /** Standard deviation of the normal distribution of matrices and embeddings. */
  readonly std: number;
  /** Divide the initial weights of projections back into the residual stream by sqrt(number of layers) (GPT-2). */
  readonly rescale_residual: boolean;
}

export interface NormSpec {
  /** rms_norm: x / sqrt(mean(x²) + eps); layer_norm: (x - mean) / sqrt(variance + eps). */
  readonly type: "rms_norm" | "layer_norm";
  readonly eps: number;
  /** learned: multiplies by w, starting at 1; one_plus: by 1 + w, w starting at 0; none: no weight. */
  readonly weight: "learned" | "one_plus" | "none";
  /** Adds a learned bias (layer_norm only). */
  readonly bias: boolean;
}

/**
 * One residual branch of the stack, which carries the stream x and a side value s; x₀ is what entered the first layer:
 *
 *     i = input == "stream" ? x : "side" ? s : "stream_plus_side" ? x + s : [x | x₀]
 *     f = out_scale · post_norm(W · combine_j(branch_j(in_scale · norm(i)))), W only with out_proj
 *     branch_j(y) = out_scale_j · post_norm_j(operator_j(in_scale_j · y))
 *     r = residual.source == "stream" ? x : "normed" ? norm(i) : 0
 *     output == "stream": x' = residual.scale · r + f;  "side": s' = f
 *
 * A block with one mixer or ffn has one branch, with neutral scales and no post_norm of its own.
 */
export interface ResolvedLayer {
  /** Position in the stack, from 0. */
  readonly index: number;
  /** Name under `blocks`, or the text of a parallel group such as `[M&*]`. */
  readonly block: string;
  /** Scope of the parameters: `layers.<index>`, or `shared.<block>` for every use of a shared block. States are never shared. */
  readonly weights: string;
  readonly input: "stream" | "side" | "stream_plus_side" | "stream_and_embedding";
  readonly output: "stream" | "side";
  readonly norm: NormSpec | null;
  readonly post_norm: NormSpec | null;
  readonly in_scale: number;
  readonly out_scale: number;
  readonly residual: ResidualSpec;
  readonly combine: "sum" | "mean";
  /** One projection after the branches are combined; they have none of their own then. */
  readonly out_proj: boolean;
  readonly branches: readonly ResolvedBranch[];
}

export interface ResidualSpec {
  /** What the branch's result is added to: the stream x, the normed x, or nothing. */
  readonly source: "stream" | "normed" | "none";
  readonly scale: number;
}

export interface ResolvedBranch {
  /** Scope of the parameters inside the layer's: `mixer`, `ffn`, or `parallel.<i>`. */
  readonly name: string;
  readonly in_scale: number;
  readonly out_scale: number;
  readonly post_norm: NormSpec | null;
  /** Low-rank additions to projections of the operator; null: none. */
  readonly adapter: AdapterSpec | null;
  readonly operator: MixerSpec | FfnSpec;
}

/** W x + B A x (Hu et al. 2021), with A and B of the layer's own, even where W is shared. */
export interface AdapterSpec {
  /** Rows of A. */
  readonly rank: number;
  /** Names of projections; those of one group read the same A. */
  readonly groups: readonly (readonly string[])[];
}

export type MixerSpec =
  | MambaSpec
  | Mamba2Spec
  | GatedDeltaSpec
  | LinearAttentionSpec
  | AttentionSpec
  | LatentAttentionSpec
  | ShortConvSpec
  | RgLruSpec
  | WkvSpec
  | S4dSpec
  | RnnSpec;

export type FfnSpec = MlpSpec | MoeSpec | LinearSpec;

/** Mamba-1 (Gu & Dao 2023): selective scan with a diagonal A [d_inner, d_state]. */
export interface MambaSpec {
  readonly type: "mamba";
  readonly d_inner: number;
  readonly d_state: number;
  /** Kernel size of the causal depthwise convolution. */
  readonly d_conv: number;
  readonly dt_rank: number;
  readonly conv_bias: boolean;
  /** Channels are cut into this many groups with projections of dt, B and C of their own. */
  readonly n_heads: number;
  /** Of in_proj. */
  readonly bias: boolean;
  readonly output_bias: boolean;
  /** Norm of dt [dt_rank], B and C [d_state], each with weights of its own (Jamba; weightless in Falcon-Mamba). */
  readonly inner_norm: NormSpec | null;
  /** softplus(dt_bias) starts log-uniform in [dt_min, dt_max], at least dt_init_floor. */
  readonly dt_min: number;
  readonly dt_max: number;
  readonly dt_init_floor: number;
}

/** Mamba-2 (Dao & Gu 2024): one decay per head, d_inner = n_heads · head_dim, B and C shared by groups of heads. */
export interface Mamba2Spec {
  readonly type: "mamba2";
  readonly n_heads: number;
  readonly head_dim: number;
  readonly d_inner: number;
  readonly d_state: number;
  readonly n_groups: number;
  readonly d_conv: number;
  readonly conv_bias: boolean;
  /** Of in_proj. */
  readonly bias: boolean;
  readonly output_bias: boolean;
  /** Factors on the parts of in_proj's result. */
  readonly in_proj_scale: { readonly [P in "z" | "x" | "B" | "C" | "dt"]: number };
  /** RMS norm combined with the gate silu(z); null: y · silu(z) alone. */
  readonly gated_norm: GatedNormSpec | null;
  /** softplus(dt + dt_bias) is clamped to [low, high]; high may be Infinity. */
  readonly dt_limit: readonly [low: number, high: number];
  readonly dt_min: number;
  readonly dt_max: number;
  readonly dt_init_floor: number;
  /** -A starts uniform in [low, high]. */
  readonly A_init_range: readonly [low: number, high: number];
  /** D has one weight per channel instead of one per head. */
  readonly D_has_hdim: boolean;
}

export interface GatedNormSpec {
  /** gate_then_norm: rms(y · silu(z)) · w; norm_then_gate: rms(y) · w · silu(z). */
  readonly order: "gate_then_norm" | "norm_then_gate";
  /** The mean square is taken over each of this many groups of channels. */
  readonly groups: number;
  readonly eps: number;
}

/** Gated DeltaNet (Yang et al. 2024). Value head h reads key head floor(h / (n_heads / n_key_heads)). */
export interface GatedDeltaSpec {
  readonly type: "gated_delta";
  /** Value heads. */
  readonly n_heads: number;
  readonly n_key_heads: number;
  readonly key_head_dim: number;
  readonly value_head_dim: number;
  readonly d_conv: number;
  readonly conv_bias: boolean;
  /** Biases of the projections of x and of the output. */
  readonly bias: boolean;
  /** beta = 2 · sigmoid(b) instead of sigmoid(b). */
  readonly allow_neg_eigval: boolean;
  /** head: one decay per head; channel: one per key channel (Kimi Delta Attention). */
  readonly decay: "head" | "channel";
  /** Channels between the two matrices that compute the decay from x; null: one matrix. */
  readonly decay_rank: number | null;
  /** The same for the gate. */
  readonly gate_rank: number | null;
  /** q and k are divided by sqrt(sum of squares + qk_eps) per head. */
  readonly qk_eps: number;
  /** Per-head norm of the output over value_head_dim, one weight vector for all heads. */
  readonly output_norm: NormSpec | null;
  /** Activation of the gate that multiplies the normed output; none: no gate. */
  readonly output_gate: "silu" | "sigmoid" | "none";
  readonly dt_min: number;
  readonly dt_max: number;
  readonly dt_init_floor: number;
  readonly A_init_range: readonly [low: number, high: number];
}

/** Linear attention with a fixed decay: S_t = exp(log_decay_h) S_{t-1} + k_t ⊗ v_t, o_t = scale · S_tᵀ q_t.
 * Query head h reads the state of key head floor(h / (n_heads / n_kv_heads)). */
export interface LinearAttentionSpec {
  readonly type: "linear_attention";
  readonly n_heads: number;
  readonly n_kv_heads: number;
  readonly key_head_dim: number;
  readonly value_head_dim: number;
  /** Applied to q and k. elu_plus_one: elu(x) + 1. */
  readonly feature_map: "none" | "silu" | "relu" | "elu_plus_one";
  /** Applied to v. */
  readonly value_activation: "none" | "silu";
  /** Natural log of each head's decay (length n_kv_heads: one per state); null: no decay. */
  readonly log_decay: readonly number[] | null;
  readonly rope: RopeSpec | null;
  /** Multiplies q · k. */
  readonly scale: number;
  readonly output_norm: OutputNormSpec | null;
  readonly output_gate: "none" | "silu" | "sigmoid";
  /** Biases of every projection. */
  readonly bias: boolean;
}

export interface OutputNormSpec extends NormSpec {
  /** head: over each head's channels, weight [n_heads · value_head_dim]; all: over all heads' channels at once. */
  readonly over: "head" | "all";
}

/** Causal softmax attention; query head h reads key head floor(h / (n_heads / n_kv_heads)). */
export interface AttentionSpec {
  readonly type: "attention";
  readonly n_heads: number;
  readonly n_kv_heads: number;
  /** Of queries and keys. */
  readonly head_dim: number;
  readonly value_head_dim: number;
  readonly rope: RopeSpec | null;
  /** Keys each query sees, itself included; null: all before it. */
  readonly window: number | null;
  /** Scores become cap · tanh(score / cap); null: unchanged. */
  readonly softcap: number | null;
  /** Norm of q and k before rope: per head (weight [head_dim]) or over the whole projection (weight [heads · head_dim]). */
  readonly qk_norm: OutputNormSpec | null;
  /** Keys, values and cache are those of the nearest attention before. */
  readonly share_kv: boolean;
  /** One learned logit per head in the softmax's denominator, neither scaled nor capped. */
  readonly sink: boolean;
  /** Multiplies q · k. */
  readonly scale: number;
  /** Biases of the q, k and v projections. */
  readonly qkv_bias: boolean;
  readonly output_bias: boolean;
  /** sigmoid: the heads' output is multiplied by sigmoid(W_g x), W_g [n_heads · value_head_dim, d_model]. */
  readonly output_gate: "none" | "sigmoid";
}

/** S4D (Gu et al. 2022): a time-invariant diagonal SSM per channel, then activation and output projection. */
export interface S4dSpec {
  readonly type: "s4d";
  /** Real state size per channel; complex modes come in d_state / 2 conjugate pairs. */
  readonly d_state: number;
  readonly discretization: "zoh" | "euler";
  readonly A_init: "s4d_lin" | "s4d_inv" | "s4d_real";
  readonly dt_min: number;
  readonly dt_max: number;
  readonly activation: "gelu" | "silu" | "none";
  /** glu: W1 y · sigmoid(W2 y); linear: W y. */
  readonly output: "glu" | "linear";
  readonly bias: boolean;
}

/** A gated recurrent unit (Cho et al. 2014) with reset gate after the recurrent product, as in cuDNN and ONNX. */
export interface RnnSpec {
  readonly type: "rnn";
  readonly cell: "gru";
  readonly d_hidden: number;
  readonly bias: boolean;
}

/** down(activation(up x)), or down(activation(gate_scale · gate x) · up x) when gated; times sigmoid(W_g x) with an output gate. */
export interface MlpSpec {
  readonly type: "mlp";
  readonly d_ff: number;
  /** gelu: with erf; gelu_tanh: its tanh approximation; relu2: relu squared. */
  readonly activation: "silu" | "gelu" | "gelu_tanh" | "relu" | "relu2";
  readonly gated: boolean;
  readonly bias: boolean;
  readonly gate_scale: number;
  /** Each projection of x reads μ · x_t + (1 - μ) · x_{t-1}, with a μ per channel of its own (RWKV). */
  readonly token_shift: boolean;
  readonly output_gate: "none" | "sigmoid";
}

/** W x + bias. */
export interface LinearSpec {
  readonly type: "linear";
  readonly bias: boolean;
}

/**
 * Mixture of experts: Σ_j weight_j · expert_{i_j}(x) + shared(x), over the top_k experts i_j that the router chooses for x. An expert
 * is an mlp without biases; with `latent`, experts see W_in x and their sum goes through W_out.
 */
export interface MoeSpec {
  readonly type: "moe";
  readonly n_experts: number;
  readonly top_k: number;
  /** Hidden width of one expert. */
  readonly d_ff: number;
  readonly activation: MlpSpec["activation"];
  readonly gated: boolean;
  readonly latent: number | null;
  readonly router: RouterSpec;
  readonly shared: SharedExpertSpec | null;
}

/** s = score(W x); i = the top_k largest of s + bias; weight = scale · s_i / (Σ s_i + normalize_eps), or scale · s_i. */
export interface RouterSpec {
  readonly score: "softmax" | "sigmoid";
  readonly normalize: boolean;
  readonly normalize_eps: number;
  readonly scale: number;
  /** There is a bias: a parameter that no gradient reaches. */
  readonly selection_bias: boolean;
  readonly n_groups: number;
  /** Groups whose experts may be chosen; all of them: n_groups. */
  readonly top_groups: number;
  /** Coefficients of what training adds to the loss. */
  readonly balance_loss: number;
  readonly z_loss: number;
  /** By how much a training step moves each bias towards equal load. */
  readonly bias_rate: number;
}

/** An mlp with the experts' activation and gating, for every token. */
export interface SharedExpertSpec {
  readonly d_ff: number;
  readonly bias: boolean;
  /** sigmoid: multiplied by sigmoid(w · x). */
  readonly gate: "none" | "sigmoid";
}
