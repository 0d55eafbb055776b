// The name somebody probably meant: the nearest allowed one, or what other programs call the same thing.

/** Names that other configurations use, and what they are called here. */
const SYNONYMS: ReadonlyMap<string, string | readonly string[]> = new Map<string, string | readonly string[]>(
  Object.entries({
    hidden_size: ["d_model", "d_hidden"],
    n_embd: "d_model",
    dim: "d_model",
    embed_dim: "d_model",
    n_vocab: "vocab_size",
    num_hidden_layers: "layers",
    n_layer: "layers",
    n_layers: "layers",
    num_layers: "layers",
    layer_types: "layers",
    pattern: "layers",
    hybrid_override_pattern: "layers",
    num_heads: "n_heads",
    n_head: "n_heads",
    num_attention_heads: "n_heads",
    heads: "n_heads",
    num_key_value_heads: "n_kv_heads",
    num_kv_heads: "n_kv_heads",
    kv_heads: "n_kv_heads",
    num_key_heads: "n_key_heads",
    num_value_heads: "n_heads",
    key_dim: "key_head_dim",
    value_dim: "value_head_dim",
    headdim: "head_dim",
    d_head: "head_dim",
    intermediate_size: "d_ff",
    ffn_dim: "d_ff",
    hidden_dim: ["d_ff", "d_hidden", "d_model"],
    d_hidden: "d_ff",
    hidden_act: "activation",
    act: "activation",
    num_experts: "n_experts",
    num_local_experts: "n_experts",
    n_routed_experts: "n_experts",
    num_experts_per_tok: "top_k",
    num_experts_per_token: "top_k",
    moe_top_k: "top_k",
    moe_intermediate_size: "d_ff",
    moe_latent_size: "latent",
    norm_topk_prob: "normalize",
    moe_renormalize: "normalize",
    routed_scaling_factor: "scale",
    use_expert_bias: "selection_bias",
    e_score_correction_bias: "selection_bias",
    n_group: "n_groups",
    num_expert_group: "n_groups",
    topk_group: "top_groups",
    router_aux_loss_coef: "router: {balance_loss: …}",
    aux_loss: "balance_loss",
    shared_expert_intermediate_size: "shared: {d_ff: …}",
    shared_intermediate_size: "shared: {d_ff: …}",
    n_shared_experts: "shared: {d_ff: …}",
    num_shared_experts: "shared: {d_ff: …}",
    experts: "moe",
    mixture_of_experts: "moe",
    state_size: "d_state",
    ssm_state_size: "d_state",
    conv_kernel: "d_conv",
    kernel_size: "d_conv",
    ngroups: "n_groups",
    time_step_rank: "dt_rank",
    time_step_limit: "dt_limit",
    time_step_min: "dt_min",
    time_step_max: "dt_max",
    use_conv_bias: "conv_bias",
    use_bias: "bias",
    attention_bias: "qkv_bias",
    sliding_window: "window",
    window_size: "window",
    rope_theta: "rope: {theta: …}",
    rope_scaling: "rope: {scaling: …}",
    partial_rotary_factor: "fraction",
    rotary_dim: "fraction",
    logit_softcap: "softcap",
    attn_logit_softcapping: "softcap",
    final_logit_softcapping: "head: {softcap: …}",
    attention_multiplier: "scale",
    embedding_multiplier: "embedding: {scale: …}",
    residual_multiplier: "out_scale",
    rms_norm_eps: "norm: {eps: …}",
    layer_norm_epsilon: "norm: {eps: …}",
    norm_eps: "norm: {eps: …}",
    epsilon: "eps",
    initializer_range: "init: {std: …}",
    tie_word_embeddings: "head: {tied: …}",
    tie_embeddings: "head: {tied: …}",
    tied: "head: {tied: …}",
    max_position_embeddings: "positions: {max_length: …}",
    max_seq_len: "positions: {max_length: …}",
    rmsnorm: "rms_norm",
    layernorm: "layer_norm",
    swiglu: "silu",
    swish: "silu",
    gelu_new: "gelu_tanh",
    gelu_pytorch_tanh: "gelu_tanh",
    squared_relu: "relu2",
    relu_squared: "relu2",
    ssm: "mamba",
    mamba1: "mamba",
    ssd: "mamba2",
    gdn: "gated_delta",
    gated_deltanet: "gated_delta",
    retnet: "linear_attention",
    lightning: "linear_attention",
    gqa: "attention",
    mha: "attention",
    mqa: "attention",
    softmax: "attention",
    mla: "latent_attention",
    griffin: "rg_lru",
    rglru: "rg_lru",
    lru: "rg_lru",
    lru_width: "d_inner",
    rwkv: "wkv",
    rwkv4: "wkv",
    attention_hidden_size: "d_inner",
    conv: "short_conv",
    kda: "gated_delta",
    kimi_delta: "gated_delta",
    kv_lora_rank: "kv_rank",
    q_lora_rank: "q_rank",
    qk_nope_head_dim: "head_dim",
    qk_rope_head_dim: "rope_head_dim",
    v_head_dim: "value_head_dim",
    lora: "adapter",
    lora_rank: "rank",
    mlp_multipliers: "gate_scale",
    ssm_multipliers: "in_proj_scale",
    logits_scaling: "head: {scale: …}",
    lm_head_multiplier: "head: {scale: …}",
    logits_soft_cap: "head: {softcap: …}",
    s4: "s4d",
    gru: "rnn",
    elu: "elu_plus_one",
    infinity: "inf",
    // Of run files.
    model: "architecture",
    spec: "architecture",
    dataset: "data",
    learning_rate: "lr",
    wd: "weight_decay",
    max_grad_norm: "grad_clip",
    gradient_clip: "grad_clip",
    clip_grad: "grad_clip",
    max_steps: "steps",
    num_steps: "steps",
    iterations: "steps",
    max_minutes: "minutes",
    seq_len: "sequence_length",
    seq_length: "sequence_length",
    context_length: "sequence_length",
    micro_batch_size: "batch_size",
    gradient_accumulation: "accumulation",
    gradient_accumulation_steps: "accumulation",
    grad_accum: "accumulation",
    gradient_checkpointing: "block_checkpointing",
    activation_checkpointing: "block_checkpointing",
    lr_schedule: "schedule",
    scheduler: "schedule",
    warmup: "warmup_steps",
    evaluation: "eval",
    save_every: "checkpoint: {every: …}",
    num_threads: "threads",
  }),
);

/** Number of insertions, deletions, changes and swaps of neighbours between two words (optimal string alignment). */
export function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let best = Math.min(change, (previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, (before[j - 2] ?? 0) + 1);
      }
      current.push(best);
    }
    before = previous;
    previous = current;
  }
  return previous[b.length] ?? 0;
}

/** The allowed name nearest to `given`, or undefined where none is near. */
export function nearest(given: string, allowed: readonly string[]): string | undefined {
  const word = given.toLowerCase().slice(0, 64);
  const same = allowed.find((name) => name.toLowerCase().replaceAll("_", "") === word.replaceAll(/[_\-\s]/g, ""));
  if (same !== undefined) return same;
  const synonyms = [SYNONYMS.get(word.replaceAll("-", "_")) ?? []].flat();
  const synonym = synonyms.find((name) => allowed.includes(name.split(":")[0] ?? ""));
  if (synonym !== undefined) return synonym;
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const name of allowed) {
    const distance = editDistance(word, name.toLowerCase());
    if (distance < bestDistance && distance < name.length) {
      best = name;
      bestDistance = distance;
    }
  }
  return best;
}

/** `did you mean "mamba"?`, or what is allowed where nothing is near; undefined where there is nothing to say. */
export function suggestion(given: string, allowed: readonly string[]): string | undefined {
  const name = nearest(given, allowed);
  if (name !== undefined) return name.includes(":") ? `did you mean ${name}?` : `did you mean "${name}"?`;
  if (allowed.length === 0) return undefined;
  return `allowed: ${allowed.slice(0, 24).join(", ")}${allowed.length > 24 ? ", …" : ""}`;
}
