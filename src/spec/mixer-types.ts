// Resolved forms of mixers, continued from types.ts: latent attention, short convolutions, and recurrences with a state per channel.
import type { RopeSpec } from "./rope.ts";
import type { NormSpec } from "./types.ts";

/**
 * Multi-head latent attention (DeepSeek-V2 2024, arXiv 2405.04434, section 2.1): c = norm(W_a x) [kv_rank]; head h has keys
 * (W_kh c, r) and values W_vh c, where r = rope(W_r x) [rope_head_dim] is common to all heads.
 */
export interface LatentAttentionSpec {
  readonly type: "latent_attention";
  readonly n_heads: number;
  readonly kv_rank: number;
  /** Queries come from a narrow vector, too; null: from x. */
  readonly q_rank: number | null;
  /** Channels of queries and keys that are a head's own. */
  readonly head_dim: number;
  /** Channels of queries whose keys are common to all heads. */
  readonly rope_head_dim: number;
  readonly value_head_dim: number;
  /** Of the common channels. */
  readonly rope: RopeSpec | null;
  /** Keys each query sees, itself included; null: all before it. */
  readonly window: number | null;
  readonly softcap: number | null;
  /** Of the narrow vectors. */
  readonly latent_norm: NormSpec | null;
  /** Multiplies q · k. */
  readonly scale: number;
  /** Biases of the projections from x to the narrow vectors and the common key. */
  readonly bias: boolean;
  readonly output_bias: boolean;
}

/** W (C · conv(B · x)), without an activation; B, C and x are projections of the input. */
export interface ShortConvSpec {
  readonly type: "short_conv";
  readonly d_conv: number;
  readonly conv_bias: boolean;
  /** Biases of the input and output projections. */
  readonly bias: boolean;
}

/**
 * The recurrent block of Griffin (De et al. 2024, arXiv 2402.19427, sections 2.3 and 2.4): W (act(W_g x) · h), h the real-gated
 * linear recurrent unit over conv(W_x x), whose two gates are block-diagonal.
 */
export interface RgLruSpec {
  readonly type: "rg_lru";
  /** Blocks of the gates' matrices. */
  readonly n_heads: number;
  readonly d_inner: number;
  readonly d_conv: number;
  readonly conv_bias: boolean;
  /** Biases of the input and output projections. */
  readonly bias: boolean;
  readonly activation: "gelu_tanh" | "gelu" | "silu";
}

/** The time mixing of RWKV-4 (Peng et al. 2023, arXiv 2305.13048, section 3.1.2): W (sigmoid(W_r x) · wkv(W_k x, W_v x)). */
export interface WkvSpec {
  readonly type: "wkv";
  readonly d_inner: number;
  /** Each projection of x reads μ · x_t + (1 - μ) · x_{t-1}, with a μ per channel of its own. */
  readonly token_shift: boolean;
}
