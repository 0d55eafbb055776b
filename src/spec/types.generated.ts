// Written by scripts/generate-spec.mjs from architecture.schema.json; change that and run the script.
// The fields of an architecture file as users write them, before defaults and derived sizes.

/**
 * A normalisation over channels, computed in float32. true: the model's `norm`; false: none.
 */
export type NormFields =
  | boolean
  | {
      /**
       * rms_norm: x / sqrt(mean(x²) + eps) (Zhang & Sennrich 2019). layer_norm: (x - mean) / sqrt(variance + eps) (Ba et al. 2016).
       */
      type?: "rms_norm" | "layer_norm";
      /**
       * Added to the mean square or variance.
       */
      eps?: number;
      /**
       * learned: scales by w, which starts at 1. one_plus: scales by 1 + w, w starting at 0 (Gemma). none: no weight.
       */
      weight?: "learned" | "one_plus" | "none";
      /**
       * Adds a learned bias; layer_norm only. Default: true for layer_norm.
       */
      bias?: boolean;
    };
/**
 * Mixes information between positions. `type` chooses which.
 */
export type MixerFields =
  | MambaFields
  | Mamba2Fields
  | GatedDeltaFields
  | LinearAttentionFields
  | AttentionFields
  | LatentAttentionFields
  | ShortConvFields
  | RgLruFields
  | WkvFields
  | S4DFields
  | RnnFields;
/**
 * An RMS norm inside a mixer. true: with its defaults; false: none.
 */
export type InnerNormFields =
  | boolean
  | {
      /**
       * Added to the mean square. Default: `norm.eps` of the model.
       */
      eps?: number;
      /**
       * learned: scales by w, which starts at 1. one_plus: scales by 1 + w, w starting at 0. none: no weight.
       */
      weight?: "learned" | "one_plus" | "none";
    };
/**
 * The RMS norm of Mamba-2's output together with its gate silu(z). true: with its defaults; false: gate only.
 */
export type GatedNormFields =
  | boolean
  | {
      /**
       * gate_then_norm: rms(y · silu(z)) · w. norm_then_gate: rms(y) · w · silu(z).
       */
      order?: "gate_then_norm" | "norm_then_gate";
      /**
       * The mean square is taken over each of this many equal groups of channels.
       */
      groups?: number;
      /**
       * Added to the mean square. Default: `norm.eps` of the model.
       */
      eps?: number;
    };
/**
 * Rotary positions (Su et al. 2021): channel j is rotated with channel j + rotary_dim / 2. true: with its defaults; false: none.
 */
export type RopeFields =
  | boolean
  | {
      /**
       * Base of the wavelengths.
       */
      theta?: number;
      /**
       * Part of each head's channels that is rotated: rotary_dim = floor(fraction · head_dim), which must be even.
       */
      fraction?: number;
      scaling?: RopeScalingFields;
    };
/**
 * Stretches the wavelengths for sequences longer than those trained on. Left out: none.
 */
export type RopeScalingFields =
  | RopeLinearFields
  | RopeNtkFields
  | RopeDynamicFields
  | RopeYarnFields
  | RopeLlama3Fields
  | RopeLongropeFields
  | RopeProportionalFields;
/**
 * An RMS norm of a multi-head tensor. true: with its defaults; false: none.
 */
export type HeadNormFields =
  | boolean
  | {
      /**
       * Added to the mean square. Default: `norm.eps` of the model.
       */
      eps?: number;
      /**
       * learned: scales by w, which starts at 1. one_plus: scales by 1 + w, w starting at 0. none: no weight.
       */
      weight?: "learned" | "one_plus" | "none";
      /**
       * head: the mean square is taken over each head's channels. all: over all heads' channels at once.
       */
      over?: "head" | "all";
    };
/**
 * Transforms each position alone. `type` chooses how.
 */
export type FfnFields = MlpFields | MoeFields | LinearFields;
/**
 * @minItems 1
 */
export type LayersField = string | LayerItem[];
/**
 * The name of a block, a parallel group "[A&B]", a nested list, or {repeat: n, layers: …}.
 */
export type LayerItem =
  | string
  | LayerItem[]
  | {
      /**
       * How many times `layers` occurs.
       */
      repeat: number;
      layers: LayersField;
    };

/**
 * A Hybraid architecture: a stack of residual branches described in YAML. A field given as null removes the value inherited through `extends`.
 */
export interface ArchitectureFile {
  /**
   * Name of the architecture. Required.
   */
  name?: string;
  /**
   * What it is and where it comes from, for the reader.
   */
  description?: string;
  /**
   * Another architecture file, relative to this one, whose fields this file inherits. Mappings merge field by field; lists, text and numbers replace; a mapping whose `type` changes is replaced whole; null removes.
   */
  extends?: string;
  /**
   * Width of the residual stream. Required.
   */
  d_model?: number;
  /**
   * Number of token ids. Required.
   */
  vocab_size?: number;
  norm?: NormFields;
  final_norm?: NormFields;
  embedding?: EmbeddingFields;
  positions?: PositionsFields;
  head?: HeadFields;
  init?: InitFields;
  /**
   * Blocks by name. A name is one letter or sign (M, *, -), or a longer word, which patterns write as @word. Required.
   */
  blocks?: {
    [k: string]: BlockFields;
  };
  layers?: LayersField;
  /**
   * Changes to single layers, by index from 0 (3), from the end (-1) or by range (4-7). The given fields merge into the block of each of these layers. A layer may be claimed once.
   */
  overrides?: {
    [k: string]: OverrideFields;
  };
}
/**
 * Token embeddings.
 */
export interface EmbeddingFields {
  /**
   * Multiplies the embeddings: a number, or sqrt_d_model (Gemma).
   */
  scale?: number | string;
  norm?: NormFields;
  /**
   * Learned vectors that stand before every sequence as if they were tokens (the meta tokens of Hymba). Positions count them; logits do not show them.
   */
  prefix_tokens?: number;
}
/**
 * Absolute positions added to the embeddings. Left out: none. (For rotary positions see `rope` of attention.)
 */
export interface PositionsFields {
  /**
   * learned: a table of max_length vectors (GPT-2).
   */
  type?: "learned";
  /**
   * Longest sequence the model can take.
   */
  max_length: number;
}
/**
 * From the last layer to logits: softcap(scale · (W x + bias)).
 */
export interface HeadFields {
  /**
   * W is the embedding table.
   */
  tied?: boolean;
  /**
   * Adds a learned bias to the logits.
   */
  bias?: boolean;
  /**
   * Multiplies the logits.
   */
  scale?: number;
  /**
   * Logits become cap · tanh(logit / cap). Left out: unchanged.
   */
  softcap?: number;
}
/**
 * How matrices and embeddings start when a model is trained from scratch.
 */
export interface InitFields {
  /**
   * Standard deviation of the normal distribution they are drawn from.
   */
  std?: number;
  /**
   * Divide projections back into the residual stream by sqrt(number of layers) (GPT-2, Mamba).
   */
  rescale_residual?: boolean;
}
/**
 * One residual branch: x + out_scale · post_norm(f(in_scale · norm(input))), where f is exactly one of mixer, ffn and parallel.
 */
export interface BlockFields {
  /**
   * What it is, for the reader.
   */
  description?: string;
  /**
   * What f reads. stream: x. side: the side value, which an earlier block with `output: side` has made. stream_plus_side: their sum. stream_and_embedding: x and what entered the first layer, side by side in 2 · d_model channels (Zamba).
   */
  input?: "stream" | "side" | "stream_plus_side" | "stream_and_embedding";
  /**
   * Where the result goes. stream: it is added to x. side: it becomes the side value and x stays as it is; blocks that say so read it (Zamba).
   */
  output?: "stream" | "side";
  mixer?: MixerFields;
  ffn?: FfnFields;
  /**
   * Two or more branches that read the same normed input and whose results are combined.
   *
   * @minItems 2
   * @maxItems 16
   */
  parallel?: BranchFields[];
  /**
   * How the results of parallel branches are combined.
   */
  combine?: "sum" | "mean";
  /**
   * One projection to d_model after the results of parallel branches are combined, in place of one in each branch (Hymba). Their widths must be equal.
   */
  out_proj?: boolean;
  /**
   * All uses of this block have the same weights (Zamba). States are never shared.
   */
  shared?: boolean;
  adapter?: AdapterFields;
  norm?: NormFields;
  post_norm?: NormFields;
  /**
   * Multiplies the input of f.
   */
  in_scale?: number;
  /**
   * Multiplies the result before it is added.
   */
  out_scale?: number;
  residual?: ResidualFields;
}
/**
 * Mamba-1: causal convolution, then a selective scan whose step, input and output depend on the token (Gu & Dao 2023).
 */
export interface MambaFields {
  /**
   * Mamba-1.
   */
  type: "mamba";
  /**
   * State size per channel (N).
   */
  d_state?: number;
  /**
   * Kernel size of the causal depthwise convolution; 1 looks at the current token only.
   */
  d_conv?: number;
  /**
   * Inner width as a multiple of d_model. Default: 2. Give this or d_inner.
   */
  expand?: number;
  /**
   * Inner width. Default: expand · d_model.
   */
  d_inner?: number;
  /**
   * Rank of the projection to the step size; auto: ceil(d_model / 16).
   */
  dt_rank?: number | string;
  /**
   * Channels are cut into this many equal groups, whose step sizes, B and C come from projections of their own (Zamba); divides d_inner.
   */
  n_heads?: number;
  /**
   * Bias of the convolution.
   */
  conv_bias?: boolean;
  /**
   * Biases of the input and output projections.
   */
  bias?: boolean;
  /**
   * Bias of the output projection. Default: as `bias`.
   */
  output_bias?: boolean;
  inner_norm?: InnerNormFields;
  /**
   * Step sizes start log-uniform between dt_min …
   */
  dt_min?: number;
  /**
   * … and dt_max …
   */
  dt_max?: number;
  /**
   * … but not below dt_init_floor.
   */
  dt_init_floor?: number;
}
/**
 * Mamba-2: state-space duality, one decay per head, B and C shared by groups of heads (Dao & Gu 2024).
 */
export interface Mamba2Fields {
  /**
   * Mamba-2.
   */
  type: "mamba2";
  /**
   * Number of heads. Default: expand · d_model / head_dim.
   */
  n_heads?: number;
  /**
   * Channels per head (P). The inner width is n_heads · head_dim.
   */
  head_dim?: number;
  /**
   * Inner width as a multiple of d_model, where n_heads is not given. Default: 2.
   */
  expand?: number;
  /**
   * State size per channel (N).
   */
  d_state?: number;
  /**
   * Groups of heads that share B and C; divides n_heads.
   */
  n_groups?: number;
  /**
   * Kernel size of the causal depthwise convolution; 1 looks at the current token only.
   */
  d_conv?: number;
  /**
   * Bias of the convolution.
   */
  conv_bias?: boolean;
  /**
   * Biases of the input and output projections.
   */
  bias?: boolean;
  /**
   * Bias of the output projection. Default: as `bias`.
   */
  output_bias?: boolean;
  in_proj_scale?: InProjScaleFields;
  gated_norm?: GatedNormFields;
  /**
   * [low, high]: step sizes are clamped to this range at every position; high may be inf.
   *
   * @minItems 2
   * @maxItems 2
   */
  dt_limit?: (number | string)[];
  /**
   * Step sizes start log-uniform between dt_min …
   */
  dt_min?: number;
  /**
   * … and dt_max …
   */
  dt_max?: number;
  /**
   * … but not below dt_init_floor.
   */
  dt_init_floor?: number;
  /**
   * [low, high]: -A starts uniform in this range.
   *
   * @minItems 2
   * @maxItems 2
   */
  A_init_range?: number[];
  /**
   * The skip weight D has one value per channel instead of one per head.
   */
  D_has_hdim?: boolean;
}
/**
 * Factors on what the input projection gives, part by part (the muP multipliers of Falcon-H1).
 */
export interface InProjScaleFields {
  /**
   * On the gate.
   */
  z?: number;
  /**
   * On the channels.
   */
  x?: number;
  /**
   * On B.
   */
  B?: number;
  /**
   * On C.
   */
  C?: number;
  /**
   * On the step sizes, before their bias.
   */
  dt?: number;
}
/**
 * Gated DeltaNet: a linear-attention state with decay and the delta rule (Yang et al. 2024; Qwen3-Next, OLMo-Hybrid), and with a decay per channel Kimi Delta Attention (Kimi Team 2025).
 */
export interface GatedDeltaFields {
  /**
   * Gated DeltaNet.
   */
  type: "gated_delta";
  /**
   * Number of value heads, each with a state [key_head_dim, value_head_dim].
   */
  n_heads: number;
  /**
   * Number of query and key heads; divides n_heads. Default: n_heads.
   */
  n_key_heads?: number;
  /**
   * Channels of queries and keys per head.
   */
  key_head_dim: number;
  /**
   * Channels of values per head. Default: key_head_dim.
   */
  value_head_dim?: number;
  /**
   * Kernel size of the causal depthwise convolution of q, k and v; 1 looks at the current token only.
   */
  d_conv?: number;
  /**
   * Bias of the convolution.
   */
  conv_bias?: boolean;
  /**
   * Biases of the input and output projections.
   */
  bias?: boolean;
  /**
   * The write strength is 2 · sigmoid(b) instead of sigmoid(b), so that the state's transition can have negative eigenvalues.
   */
  allow_neg_eigval?: boolean;
  /**
   * head: the whole state of a head decays by one factor. channel: each key channel has a decay of its own (Kimi Delta Attention).
   */
  decay?: "head" | "channel";
  /**
   * The decay is computed from the input by two matrices with this many channels between them. Left out: by one matrix.
   */
  decay_rank?: number;
  /**
   * The same for the output gate.
   */
  gate_rank?: number;
  /**
   * Queries and keys are divided by sqrt(sum of squares + qk_eps) per head.
   */
  qk_eps?: number;
  output_norm?: InnerNormFields;
  /**
   * Activation of the gate that multiplies the normed output; none: no gate.
   */
  output_gate?: "silu" | "sigmoid" | "none";
  /**
   * Step sizes start log-uniform between dt_min …
   */
  dt_min?: number;
  /**
   * … and dt_max …
   */
  dt_max?: number;
  /**
   * … but not below dt_init_floor.
   */
  dt_init_floor?: number;
  /**
   * [low, high]: -A starts uniform in this range.
   *
   * @minItems 2
   * @maxItems 2
   */
  A_init_range?: number[];
}
/**
 * Linear attention with no decay (Katharopoulos et al. 2020, without the normaliser), RetNet's fixed decay (Sun et al. 2023) or lightning slopes (Qin et al. 2024; MiniMax).
 */
export interface LinearAttentionFields {
  /**
   * Linear attention.
   */
  type: "linear_attention";
  /**
   * Number of query heads.
   */
  n_heads: number;
  /**
   * Number of key and value heads; divides n_heads. Default: n_heads.
   */
  n_kv_heads?: number;
  /**
   * Channels of queries and keys per head. Default: d_model / n_heads.
   */
  key_head_dim?: number;
  /**
   * Channels of values per head. Default: key_head_dim.
   */
  value_head_dim?: number;
  /**
   * Applied to queries and keys. elu_plus_one: elu(x) + 1.
   */
  feature_map?: "none" | "silu" | "relu" | "elu_plus_one";
  /**
   * Applied to values.
   */
  value_activation?: "none" | "silu";
  /**
   * none: the state only grows. retnet: head h keeps 1 - 2^(-5-h) of its state per token. lightning: exp(-slope), slope = 2^(-8(h+1)/n_kv_heads) · (1 - i/(m-1+1e-5) + 1e-5) in the i-th (from 0) of m layers with a mixer. Or a list of n_kv_heads factors in (0, 1].
   *
   * @minItems 1
   * @maxItems 65536
   */
  decay?: string | number[];
  rope?: RopeFields;
  /**
   * Multiplies q · k. Default: 1 / sqrt(key_head_dim).
   */
  scale?: number;
  output_norm?: HeadNormFields;
  /**
   * Activation of a gate computed from the input that multiplies the normed output; none: no gate.
   */
  output_gate?: "none" | "silu" | "sigmoid";
  /**
   * Biases of all projections.
   */
  bias?: boolean;
}
/**
 * Position interpolation: all frequencies divided by factor (Chen et al. 2023).
 */
export interface RopeLinearFields {
  /**
   * Position interpolation.
   */
  type: "linear";
  /**
   * How many times longer.
   */
  factor: number;
}
/**
 * NTK-aware: theta becomes theta · factor^(d / (d - 2)), d = rotary_dim.
 */
export interface RopeNtkFields {
  /**
   * NTK-aware scaling.
   */
  type: "ntk";
  /**
   * How many times longer.
   */
  factor: number;
}
/**
 * Dynamic NTK: NTK-aware scaling by factor · length / original_max_length - (factor - 1), none up to original_max_length.
 */
export interface RopeDynamicFields {
  /**
   * Dynamic NTK scaling.
   */
  type: "dynamic";
  /**
   * How many times longer.
   */
  factor: number;
  /**
   * Sequence length trained on.
   */
  original_max_length: number;
  /**
   * Sequence length that the model is to read. One scaling serves all positions, so that a cache stays valid. Default: original_max_length.
   */
  length?: number;
}
/**
 * YaRN: low frequencies interpolated, high ones kept, a ramp between (Peng et al. 2023).
 */
export interface RopeYarnFields {
  /**
   * YaRN.
   */
  type: "yarn";
  /**
   * How many times longer.
   */
  factor: number;
  /**
   * Sequence length trained on.
   */
  original_max_length: number;
  /**
   * Frequencies with more rotations than this over original_max_length are kept.
   */
  beta_fast?: number;
  /**
   * Frequencies with fewer rotations than this are interpolated fully.
   */
  beta_slow?: number;
  /**
   * Multiplies cosines and sines. Default: 0.1 · ln(factor) + 1.
   */
  attention_factor?: number;
  /**
   * The ramp starts and ends at whole pairs.
   */
  truncate?: boolean;
}
/**
 * Llama 3.1: long wavelengths divided by factor, short ones kept, a smooth step between.
 */
export interface RopeLlama3Fields {
  /**
   * Llama 3.1 scaling.
   */
  type: "llama3";
  /**
   * How many times longer.
   */
  factor: number;
  /**
   * Sequence length trained on.
   */
  original_max_length: number;
  /**
   * Wavelengths above original_max_length / low_freq_factor are divided fully.
   */
  low_freq_factor?: number;
  /**
   * Wavelengths below original_max_length / high_freq_factor are kept.
   */
  high_freq_factor?: number;
}
/**
 * LongRoPE: each frequency divided by a factor of its own (Ding et al. 2024).
 */
export interface RopeLongropeFields {
  /**
   * LongRoPE.
   */
  type: "longrope";
  /**
   * One divisor per rotated pair: rotary_dim / 2 numbers.
   *
   * @minItems 1
   * @maxItems 32768
   */
  factors: number[];
  /**
   * The divisors where length is more than original_max_length.
   *
   * @minItems 1
   * @maxItems 32768
   */
  long_factors?: number[];
  /**
   * Sequence length up to which factors are used; needed with long_factors.
   */
  original_max_length?: number;
  /**
   * Sequence length that the model is to read. Default: original_max_length.
   */
  length?: number;
  /**
   * Multiplies cosines and sines.
   */
  attention_factor?: number;
}
/**
 * Pairs span the whole head, channel j with channel j + d / 2, and of the d / 2 frequencies theta^(-2j / d) / factor only the first floor(fraction · d / 2) turn; the other pairs stand still.
 */
export interface RopeProportionalFields {
  /**
   * Rotation of a proportion of the pairs.
   */
  type: "proportional";
  /**
   * How many times longer.
   */
  factor?: number;
}
/**
 * Causal softmax attention: multi-head, grouped-query (n_kv_heads) or multi-query (n_kv_heads: 1).
 */
export interface AttentionFields {
  /**
   * Softmax attention.
   */
  type: "attention";
  /**
   * Number of query heads.
   */
  n_heads: number;
  /**
   * Number of key and value heads; divides n_heads. Default: n_heads.
   */
  n_kv_heads?: number;
  /**
   * Channels of queries and keys per head. Default: d_model / n_heads.
   */
  head_dim?: number;
  /**
   * Channels of values per head. Default: head_dim.
   */
  value_head_dim?: number;
  rope?: RopeFields;
  /**
   * Number of keys each query sees, itself included. Left out: all before it.
   */
  window?: number;
  /**
   * Scores become cap · tanh(score / cap) (Gemma 2). Left out: unchanged.
   */
  softcap?: number;
  qk_norm?: HeadNormFields;
  /**
   * Keys, values and their cache are those of the nearest attention before (Hymba), which must have the same heads of keys and the same window.
   */
  share_kv?: boolean;
  /**
   * One learned logit per head in the softmax's denominator, so that a head may attend to nothing.
   */
  sink?: boolean;
  /**
   * Multiplies q · k. Default: 1 / sqrt(head_dim).
   */
  scale?: number;
  /**
   * Biases of the query, key and value projections.
   */
  qkv_bias?: boolean;
  /**
   * Bias of the output projection.
   */
  output_bias?: boolean;
  /**
   * sigmoid: the heads' output is multiplied by sigmoid of a projection of the input (Qwen3-Next).
   */
  output_gate?: "none" | "sigmoid";
}
/**
 * Multi-head latent attention: keys and values of all heads are made from one narrow vector per token, which is all that a cache keeps (DeepSeek-V2 2024; Kimi Linear).
 */
export interface LatentAttentionFields {
  /**
   * Multi-head latent attention.
   */
  type: "latent_attention";
  /**
   * Number of heads.
   */
  n_heads: number;
  /**
   * Channels of the vector that keys and values are made from.
   */
  kv_rank: number;
  /**
   * Queries are made by two matrices with this many channels, and a norm, between them. Left out: by one matrix.
   */
  q_rank?: number;
  /**
   * Channels of queries and keys per head that each head has for itself.
   */
  head_dim: number;
  /**
   * Further channels of queries per head, whose keys all heads have in common; rope turns these alone.
   */
  rope_head_dim: number;
  /**
   * Channels of values per head. Default: head_dim.
   */
  value_head_dim?: number;
  rope?: RopeFields;
  /**
   * Number of keys each query sees, itself included. Left out: all before it.
   */
  window?: number;
  /**
   * Scores become cap · tanh(score / cap). Left out: unchanged.
   */
  softcap?: number;
  latent_norm?: InnerNormFields;
  /**
   * Multiplies q · k. Default: 1 / sqrt(head_dim + rope_head_dim).
   */
  scale?: number;
  /**
   * Biases of the projections from the input to the narrow vectors and the common key.
   */
  bias?: boolean;
  /**
   * Bias of the output projection.
   */
  output_bias?: boolean;
}
/**
 * A gated short convolution: out(C · conv(B · x)), where B, C and x are projections of the input (LFM2).
 */
export interface ShortConvFields {
  /**
   * Gated short convolution.
   */
  type: "short_conv";
  /**
   * Kernel size of the causal depthwise convolution; 1 looks at the current token only.
   */
  d_conv?: number;
  /**
   * Bias of the convolution.
   */
  conv_bias?: boolean;
  /**
   * Biases of the input and output projections.
   */
  bias?: boolean;
}
/**
 * The recurrent block of Griffin: causal convolution, then a real-gated linear recurrent unit, and beside them a gate (De et al. 2024; RecurrentGemma).
 */
export interface RgLruFields {
  /**
   * Real-gated linear recurrent unit.
   */
  type: "rg_lru";
  /**
   * Blocks of channels whose gates read their own block only; divides d_inner.
   */
  n_heads: number;
  /**
   * Inner width. Default: d_model.
   */
  d_inner?: number;
  /**
   * Kernel size of the causal depthwise convolution; 1 looks at the current token only.
   */
  d_conv?: number;
  /**
   * Bias of the convolution.
   */
  conv_bias?: boolean;
  /**
   * Biases of the input and output projections.
   */
  bias?: boolean;
  /**
   * Applied to the gate.
   */
  activation?: "gelu_tanh" | "gelu" | "silu";
}
/**
 * The time mixing of RWKV-4: per channel a mean of all values so far, whose weights are the exponentials of keys and fade with age (Peng et al. 2023).
 */
export interface WkvFields {
  /**
   * RWKV-4 time mixing.
   */
  type: "wkv";
  /**
   * Width of keys, values and their gate. Default: d_model.
   */
  d_inner?: number;
  /**
   * Each projection of the input reads μ · x + (1 - μ) · (x of the token before), with a learned μ per channel of its own.
   */
  token_shift?: boolean;
}
/**
 * S4D: a time-invariant diagonal state-space model per channel, then an activation and an output projection (Gu et al. 2022).
 */
export interface S4DFields {
  /**
   * S4D.
   */
  type: "s4d";
  /**
   * State size per channel; complex modes come in d_state / 2 conjugate pairs.
   */
  d_state?: number;
  /**
   * zoh: zero-order hold, exact for constant input. euler: A exactly, B to first order (dt · B).
   */
  discretization?: "zoh" | "euler";
  /**
   * Modes at the start. s4d_lin: -1/2 + πn·i. s4d_inv: -1/2 + (N/π)(N/(2n+1) - 1)·i. s4d_real: -(n + 1).
   */
  A_init?: "s4d_lin" | "s4d_inv" | "s4d_real";
  /**
   * Step sizes start log-uniform between dt_min …
   */
  dt_min?: number;
  /**
   * … and dt_max.
   */
  dt_max?: number;
  /**
   * Applied to the output of the state-space model.
   */
  activation?: "gelu" | "silu" | "none";
  /**
   * glu: W1 y · sigmoid(W2 y). linear: W y.
   */
  output?: "glu" | "linear";
  /**
   * Biases of the output projection.
   */
  bias?: boolean;
}
/**
 * A recurrent network, the classical baseline, followed by an output projection to d_model.
 */
export interface RnnFields {
  /**
   * A recurrent network.
   */
  type: "rnn";
  /**
   * gru: gated recurrent unit (Cho et al. 2014), the reset gate applied after the recurrent product.
   */
  cell?: "gru";
  /**
   * Size of the hidden state. Default: d_model.
   */
  d_hidden?: number;
  /**
   * Biases of gates and output projection.
   */
  bias?: boolean;
}
/**
 * Two-layer network: down(activation(up x)), or down(activation(gate x) · up x) when gated.
 */
export interface MlpFields {
  /**
   * Multi-layer perceptron.
   */
  type: "mlp";
  /**
   * Hidden width.
   */
  d_ff: number;
  /**
   * gelu: with erf. gelu_tanh: its tanh approximation. relu2: relu squared.
   */
  activation?: "silu" | "gelu" | "gelu_tanh" | "relu" | "relu2";
  /**
   * A second projection, through the activation, multiplies the first (SwiGLU).
   */
  gated?: boolean;
  /**
   * Biases of all projections.
   */
  bias?: boolean;
  /**
   * Multiplies gate x before the activation (Falcon-H1).
   */
  gate_scale?: number;
  /**
   * Each projection of the input reads μ · x + (1 - μ) · (x of the token before), with a learned μ per channel of its own (RWKV).
   */
  token_shift?: boolean;
  /**
   * sigmoid: the result is multiplied by sigmoid of a projection of the input (RWKV).
   */
  output_gate?: "none" | "sigmoid";
}
/**
 * Mixture of experts: a router chooses top_k of n_experts networks for each token and adds up their results, weighted (Shazeer et al. 2017). Only those are computed.
 */
export interface MoeFields {
  /**
   * Mixture of experts.
   */
  type: "moe";
  /**
   * Networks to choose from.
   */
  n_experts: number;
  /**
   * Networks that a token is sent to.
   */
  top_k: number;
  /**
   * Hidden width of each expert.
   */
  d_ff: number;
  /**
   * Of the experts, as in mlp.
   */
  activation?: "silu" | "gelu" | "gelu_tanh" | "relu" | "relu2";
  /**
   * Experts have a second projection, through the activation, which multiplies the first (SwiGLU).
   */
  gated?: boolean;
  /**
   * Width that experts read and write: projections shared by all of them lead there and back (Nemotron-3). The router and the shared expert stay at d_model. Left out: d_model, without projections.
   */
  latent?: number;
  router?: RouterFields;
  shared?: SharedExpertFields;
}
/**
 * How experts are chosen and weighed, from logits W x with W [n_experts, d_model].
 */
export interface RouterFields {
  /**
   * What logits become: softmax over all experts, or a sigmoid for each (DeepSeek-V3).
   */
  score?: "softmax" | "sigmoid";
  /**
   * Divide the scores of the chosen experts by their sum + normalize_eps. With softmax this is the softmax of the chosen logits (Mixtral).
   */
  normalize?: boolean;
  /**
   * Added to the sum.
   */
  normalize_eps?: number;
  /**
   * Multiplies the weights last.
   */
  scale?: number;
  /**
   * Choose by score + bias, a number for each expert that weights do not see and that training moves towards equal load (DeepSeek-V3).
   */
  selection_bias?: boolean;
  /**
   * Groups of neighbouring experts; only those of the best top_groups may be chosen. A group is as good as its two best experts together (DeepSeek-V3).
   */
  n_groups?: number;
  /**
   * Groups that experts may be chosen from. Default: n_groups.
   */
  top_groups?: number;
  /**
   * Training adds so much of n_experts · Σ (share of choices · mean score), which is 1 where all experts are used alike (Fedus et al. 2021). Default: 0.01; 0 with selection_bias.
   */
  balance_loss?: number;
  /**
   * Training adds so much of the mean of log²(Σ exp(logits)) (Zoph et al. 2022).
   */
  z_loss?: number;
  /**
   * A training step moves the bias of an expert by so much, up where it is chosen less than the mean, else down (Wang et al. 2024). With selection_bias.
   */
  bias_rate?: number;
}
/**
 * A network that every token goes through besides; activation and gate are those of the experts.
 */
export interface SharedExpertFields {
  /**
   * Hidden width; several shared experts are one of their summed width.
   */
  d_ff: number;
  /**
   * Biases of its projections.
   */
  bias?: boolean;
  /**
   * sigmoid: its result is multiplied by sigmoid(w · x), one number for each token (Qwen).
   */
  gate?: "none" | "sigmoid";
}
/**
 * One projection: W x + bias.
 */
export interface LinearFields {
  /**
   * A linear layer.
   */
  type: "linear";
  /**
   * Adds a learned bias.
   */
  bias?: boolean;
}
/**
 * One branch of a parallel block: out_scale · post_norm(f(in_scale · x)), where f is a mixer or an ffn.
 */
export interface BranchFields {
  mixer?: MixerFields;
  ffn?: FfnFields;
  post_norm?: NormFields;
  /**
   * Multiplies the input of this branch.
   */
  in_scale?: number;
  /**
   * Multiplies the result of this branch.
   */
  out_scale?: number;
}
/**
 * Low-rank additions to projections, W x + B A x (Hu et al. 2021). Their weights belong to the layer: each use of a shared block has its own (Zamba2).
 */
export interface AdapterFields {
  /**
   * Rows of A.
   */
  rank: number;
  /**
   * Names of projections of the mixer or ffn, such as q_proj. Those in an inner list read the same A.
   *
   * @minItems 1
   */
  projections: (string | string[])[];
}
/**
 * What the block's result is added to.
 */
export interface ResidualFields {
  /**
   * stream: x. normed: norm(x) (MiniMax). none: nothing, the block replaces the stream.
   */
  source?: "stream" | "normed" | "none";
  /**
   * Multiplies what the result is added to.
   */
  scale?: number;
}
/**
 * Fields of a block to change in single layers.
 */
export interface OverrideFields {
  /**
   * Fields of the mixer to change.
   */
  mixer?: {
    [k: string]: unknown;
  };
  /**
   * Fields of the ffn to change.
   */
  ffn?: {
    [k: string]: unknown;
  };
  /**
   * Branches in place of the block's.
   */
  parallel?: BranchFields[];
  /**
   * As in blocks.
   */
  combine?: "sum" | "mean";
  norm?: NormFields;
  post_norm?: NormFields;
  /**
   * As in blocks.
   */
  in_scale?: number;
  /**
   * As in blocks.
   */
  out_scale?: number;
  residual?: ResidualFields;
}
