// Written by scripts/generate-spec.mjs from architecture.schema.json; change that and run the script.
// The JSON Schema of architecture files as a constant, so that its defaults have types.
export const schema = {
  $schema: "http://json-schema.org/draft-07/schema#",
  title: "ArchitectureFile",
  description:
    "A Hybraid architecture: a stack of residual branches described in YAML. A field given as null removes the value inherited through `extends`.",
  type: "object",
  additionalProperties: false,
  properties: {
    name: {
      description: "Name of the architecture. Required.",
      type: "string",
      minLength: 1,
    },
    description: {
      description: "What it is and where it comes from, for the reader.",
      type: "string",
    },
    extends: {
      description:
        "Another architecture file, relative to this one, whose fields this file inherits. Mappings merge field by field; lists, text and numbers replace; a mapping whose `type` changes is replaced whole; null removes.",
      type: "string",
      minLength: 1,
    },
    d_model: {
      description: "Width of the residual stream. Required.",
      type: "integer",
      minimum: 1,
      maximum: 1048576,
    },
    vocab_size: {
      description: "Number of token ids. Required.",
      type: "integer",
      minimum: 1,
      maximum: 16777216,
    },
    norm: {
      description: "The norm used wherever no other is given: before each block and before the head. false: none.",
      $ref: "#/definitions/norm",
    },
    final_norm: {
      description: "Norm between the last layer and the head; fields left out come from `norm`. false: none.",
      $ref: "#/definitions/norm",
    },
    embedding: {
      $ref: "#/definitions/embedding",
    },
    positions: {
      $ref: "#/definitions/positions",
    },
    head: {
      $ref: "#/definitions/head",
    },
    init: {
      $ref: "#/definitions/init",
    },
    blocks: {
      description:
        "Blocks by name. A name is one letter or sign (M, *, -), or a longer word, which patterns write as @word. Required.",
      type: "object",
      minProperties: 1,
      additionalProperties: {
        $ref: "#/definitions/block",
      },
    },
    layers: {
      description: 'The stack: a pattern such as "(M-){3}*-", or a list. Required.',
      $ref: "#/definitions/layers",
    },
    overrides: {
      description:
        "Changes to single layers, by index from 0 (3), from the end (-1) or by range (4-7). The given fields merge into the block of each of these layers. A layer may be claimed once.",
      type: "object",
      additionalProperties: {
        $ref: "#/definitions/override",
      },
    },
  },
  definitions: {
    norm: {
      title: "NormFields",
      description: "A normalisation over channels, computed in float32. true: the model's `norm`; false: none.",
      type: ["boolean", "object"],
      additionalProperties: false,
      properties: {
        type: {
          description:
            "rms_norm: x / sqrt(mean(x²) + eps) (Zhang & Sennrich 2019). layer_norm: (x - mean) / sqrt(variance + eps) (Ba et al. 2016).",
          type: "string",
          enum: ["rms_norm", "layer_norm"],
          default: "rms_norm",
        },
        eps: {
          description: "Added to the mean square or variance.",
          type: "number",
          exclusiveMinimum: 0,
          maximum: 1,
          default: 0.00001,
        },
        weight: {
          description:
            "learned: scales by w, which starts at 1. one_plus: scales by 1 + w, w starting at 0 (Gemma). none: no weight.",
          type: "string",
          enum: ["learned", "one_plus", "none"],
          default: "learned",
        },
        bias: {
          description: "Adds a learned bias; layer_norm only. Default: true for layer_norm.",
          type: "boolean",
        },
      },
    },
    inner_norm: {
      title: "InnerNormFields",
      description: "An RMS norm inside a mixer. true: with its defaults; false: none.",
      type: ["boolean", "object"],
      additionalProperties: false,
      properties: {
        eps: {
          description: "Added to the mean square. Default: `norm.eps` of the model.",
          type: "number",
          exclusiveMinimum: 0,
          maximum: 1,
        },
        weight: {
          description:
            "learned: scales by w, which starts at 1. one_plus: scales by 1 + w, w starting at 0. none: no weight.",
          type: "string",
          enum: ["learned", "one_plus", "none"],
          default: "learned",
        },
      },
    },
    head_norm: {
      title: "HeadNormFields",
      description: "An RMS norm of a multi-head tensor. true: with its defaults; false: none.",
      type: ["boolean", "object"],
      additionalProperties: false,
      properties: {
        eps: {
          description: "Added to the mean square. Default: `norm.eps` of the model.",
          type: "number",
          exclusiveMinimum: 0,
          maximum: 1,
        },
        weight: {
          description:
            "learned: scales by w, which starts at 1. one_plus: scales by 1 + w, w starting at 0. none: no weight.",
          type: "string",
          enum: ["learned", "one_plus", "none"],
          default: "learned",
        },
        over: {
          description:
            "head: the mean square is taken over each head's channels. all: over all heads' channels at once.",
          type: "string",
          enum: ["head", "all"],
          default: "head",
        },
      },
    },
    gated_norm: {
      title: "GatedNormFields",
      description:
        "The RMS norm of Mamba-2's output together with its gate silu(z). true: with its defaults; false: gate only.",
      type: ["boolean", "object"],
      additionalProperties: false,
      properties: {
        order: {
          description: "gate_then_norm: rms(y · silu(z)) · w. norm_then_gate: rms(y) · w · silu(z).",
          type: "string",
          enum: ["gate_then_norm", "norm_then_gate"],
          default: "gate_then_norm",
        },
        groups: {
          description: "The mean square is taken over each of this many equal groups of channels.",
          type: "integer",
          minimum: 1,
          maximum: 1048576,
          default: 1,
        },
        eps: {
          description: "Added to the mean square. Default: `norm.eps` of the model.",
          type: "number",
          exclusiveMinimum: 0,
          maximum: 1,
        },
      },
    },
    embedding: {
      title: "EmbeddingFields",
      description: "Token embeddings.",
      type: "object",
      additionalProperties: false,
      properties: {
        scale: {
          description: "Multiplies the embeddings: a number, or sqrt_d_model (Gemma).",
          type: ["number", "string"],
          pattern: "^(sqrt_d_model)$",
          default: 1,
        },
        norm: {
          description:
            "Norm of what enters the first layer (RWKV-4); fields left out come from the model's `norm`. Default: false.",
          $ref: "#/definitions/norm",
        },
        prefix_tokens: {
          description:
            "Learned vectors that stand before every sequence as if they were tokens (the meta tokens of Hymba). Positions count them; logits do not show them.",
          type: "integer",
          minimum: 0,
          maximum: 65536,
          default: 0,
        },
      },
    },
    positions: {
      title: "PositionsFields",
      description:
        "Absolute positions added to the embeddings. Left out: none. (For rotary positions see `rope` of attention.)",
      type: "object",
      additionalProperties: false,
      required: ["max_length"],
      properties: {
        type: {
          description: "learned: a table of max_length vectors (GPT-2).",
          type: "string",
          enum: ["learned"],
          default: "learned",
        },
        max_length: {
          description: "Longest sequence the model can take.",
          type: "integer",
          minimum: 1,
          maximum: 16777216,
        },
      },
    },
    head: {
      title: "HeadFields",
      description: "From the last layer to logits: softcap(scale · (W x + bias)).",
      type: "object",
      additionalProperties: false,
      properties: {
        tied: {
          description: "W is the embedding table.",
          type: "boolean",
          default: true,
        },
        bias: {
          description: "Adds a learned bias to the logits.",
          type: "boolean",
          default: false,
        },
        scale: {
          description: "Multiplies the logits.",
          type: "number",
          default: 1,
        },
        softcap: {
          description: "Logits become cap · tanh(logit / cap). Left out: unchanged.",
          type: "number",
          exclusiveMinimum: 0,
        },
      },
    },
    init: {
      title: "InitFields",
      description: "How matrices and embeddings start when a model is trained from scratch.",
      type: "object",
      additionalProperties: false,
      properties: {
        std: {
          description: "Standard deviation of the normal distribution they are drawn from.",
          type: "number",
          minimum: 0,
          default: 0.02,
        },
        rescale_residual: {
          description: "Divide projections back into the residual stream by sqrt(number of layers) (GPT-2, Mamba).",
          type: "boolean",
          default: true,
        },
      },
    },
    layers: {
      title: "LayersField",
      type: ["string", "array"],
      minLength: 1,
      minItems: 1,
      items: {
        $ref: "#/definitions/layer_item",
      },
    },
    layer_item: {
      title: "LayerItem",
      description: 'The name of a block, a parallel group "[A&B]", a nested list, or {repeat: n, layers: …}.',
      type: ["string", "array", "object"],
      minLength: 1,
      items: {
        $ref: "#/definitions/layer_item",
      },
      additionalProperties: false,
      required: ["repeat", "layers"],
      properties: {
        repeat: {
          description: "How many times `layers` occurs.",
          type: "integer",
          minimum: 1,
          maximum: 10000,
        },
        layers: {
          description: "What is repeated: a pattern or a list.",
          $ref: "#/definitions/layers",
        },
      },
    },
    adapter: {
      title: "AdapterFields",
      description:
        "Low-rank additions to projections, W x + B A x (Hu et al. 2021). Their weights belong to the layer: each use of a shared block has its own (Zamba2).",
      type: "object",
      additionalProperties: false,
      required: ["rank", "projections"],
      properties: {
        rank: {
          description: "Rows of A.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        projections: {
          description:
            "Names of projections of the mixer or ffn, such as q_proj. Those in an inner list read the same A.",
          type: "array",
          minItems: 1,
          items: {
            type: ["string", "array"],
            minItems: 1,
            items: {
              type: "string",
            },
          },
        },
      },
    },
    residual: {
      title: "ResidualFields",
      description: "What the block's result is added to.",
      type: "object",
      additionalProperties: false,
      properties: {
        source: {
          description: "stream: x. normed: norm(x) (MiniMax). none: nothing, the block replaces the stream.",
          type: "string",
          enum: ["stream", "normed", "none"],
          default: "stream",
        },
        scale: {
          description: "Multiplies what the result is added to.",
          type: "number",
          default: 1,
        },
      },
    },
    block: {
      title: "BlockFields",
      description:
        "One residual branch: x + out_scale · post_norm(f(in_scale · norm(input))), where f is exactly one of mixer, ffn and parallel.",
      type: "object",
      additionalProperties: false,
      properties: {
        description: {
          description: "What it is, for the reader.",
          type: "string",
        },
        input: {
          description:
            "What f reads. stream: x. side: the side value, which an earlier block with `output: side` has made. stream_plus_side: their sum. stream_and_embedding: x and what entered the first layer, side by side in 2 · d_model channels (Zamba).",
          type: "string",
          enum: ["stream", "side", "stream_plus_side", "stream_and_embedding"],
          default: "stream",
        },
        output: {
          description:
            "Where the result goes. stream: it is added to x. side: it becomes the side value and x stays as it is; blocks that say so read it (Zamba).",
          type: "string",
          enum: ["stream", "side"],
          default: "stream",
        },
        mixer: {
          $ref: "#/definitions/mixer",
        },
        ffn: {
          $ref: "#/definitions/ffn",
        },
        parallel: {
          description: "Two or more branches that read the same normed input and whose results are combined.",
          type: "array",
          minItems: 2,
          maxItems: 16,
          items: {
            $ref: "#/definitions/branch",
          },
        },
        combine: {
          description: "How the results of parallel branches are combined.",
          type: "string",
          enum: ["sum", "mean"],
          default: "sum",
        },
        out_proj: {
          description:
            "One projection to d_model after the results of parallel branches are combined, in place of one in each branch (Hymba). Their widths must be equal.",
          type: "boolean",
          default: false,
        },
        shared: {
          description: "All uses of this block have the same weights (Zamba). States are never shared.",
          type: "boolean",
          default: false,
        },
        adapter: {
          $ref: "#/definitions/adapter",
        },
        norm: {
          description: "Norm before f; fields left out come from the model's `norm`. false: none.",
          $ref: "#/definitions/norm",
        },
        post_norm: {
          description: "Norm after f; fields left out come from the model's `norm`. Default: false.",
          $ref: "#/definitions/norm",
        },
        in_scale: {
          description: "Multiplies the input of f.",
          type: "number",
          default: 1,
        },
        out_scale: {
          description: "Multiplies the result before it is added.",
          type: "number",
          default: 1,
        },
        residual: {
          $ref: "#/definitions/residual",
        },
      },
    },
    override: {
      title: "OverrideFields",
      description: "Fields of a block to change in single layers.",
      type: "object",
      additionalProperties: false,
      minProperties: 1,
      properties: {
        mixer: {
          description: "Fields of the mixer to change.",
          type: "object",
          additionalProperties: true,
        },
        ffn: {
          description: "Fields of the ffn to change.",
          type: "object",
          additionalProperties: true,
        },
        parallel: {
          description: "Branches in place of the block's.",
          type: "array",
          items: {
            $ref: "#/definitions/branch",
          },
        },
        combine: {
          description: "As in blocks.",
          type: "string",
          enum: ["sum", "mean"],
        },
        norm: {
          description: "As in blocks.",
          $ref: "#/definitions/norm",
        },
        post_norm: {
          description: "As in blocks.",
          $ref: "#/definitions/norm",
        },
        in_scale: {
          description: "As in blocks.",
          type: "number",
        },
        out_scale: {
          description: "As in blocks.",
          type: "number",
        },
        residual: {
          description: "As in blocks.",
          $ref: "#/definitions/residual",
        },
      },
    },
    branch: {
      title: "BranchFields",
      description:
        "One branch of a parallel block: out_scale · post_norm(f(in_scale · x)), where f is a mixer or an ffn.",
      type: "object",
      additionalProperties: false,
      properties: {
        mixer: {
          $ref: "#/definitions/mixer",
        },
        ffn: {
          $ref: "#/definitions/ffn",
        },
        post_norm: {
          description: "Norm of this branch's result; fields left out come from the model's `norm`. Default: false.",
          $ref: "#/definitions/norm",
        },
        in_scale: {
          description: "Multiplies the input of this branch.",
          type: "number",
          default: 1,
        },
        out_scale: {
          description: "Multiplies the result of this branch.",
          type: "number",
          default: 1,
        },
      },
    },
    mixer: {
      title: "MixerFields",
      description: "Mixes information between positions. `type` chooses which.",
      type: "object",
      required: ["type"],
      discriminator: {
        propertyName: "type",
      },
      oneOf: [
        {
          $ref: "#/definitions/mamba",
        },
        {
          $ref: "#/definitions/mamba2",
        },
        {
          $ref: "#/definitions/gated_delta",
        },
        {
          $ref: "#/definitions/linear_attention",
        },
        {
          $ref: "#/definitions/attention",
        },
        {
          $ref: "#/definitions/latent_attention",
        },
        {
          $ref: "#/definitions/short_conv",
        },
        {
          $ref: "#/definitions/rg_lru",
        },
        {
          $ref: "#/definitions/wkv",
        },
        {
          $ref: "#/definitions/s4d",
        },
        {
          $ref: "#/definitions/rnn",
        },
      ],
    },
    ffn: {
      title: "FfnFields",
      description: "Transforms each position alone. `type` chooses how.",
      type: "object",
      required: ["type"],
      discriminator: {
        propertyName: "type",
      },
      oneOf: [
        {
          $ref: "#/definitions/mlp",
        },
        {
          $ref: "#/definitions/moe",
        },
        {
          $ref: "#/definitions/linear",
        },
      ],
    },
    mamba: {
      title: "MambaFields",
      description:
        "Mamba-1: causal convolution, then a selective scan whose step, input and output depend on the token (Gu & Dao 2023).",
      type: "object",
      additionalProperties: false,
      required: ["type"],
      properties: {
        type: {
          description: "Mamba-1.",
          type: "string",
          const: "mamba",
        },
        d_state: {
          description: "State size per channel (N).",
          type: "integer",
          minimum: 1,
          maximum: 65536,
          default: 16,
        },
        d_conv: {
          description: "Kernel size of the causal depthwise convolution; 1 looks at the current token only.",
          type: "integer",
          minimum: 1,
          maximum: 256,
          default: 4,
        },
        expand: {
          description: "Inner width as a multiple of d_model. Default: 2. Give this or d_inner.",
          type: "number",
          exclusiveMinimum: 0,
          maximum: 64,
        },
        d_inner: {
          description: "Inner width. Default: expand · d_model.",
          type: "integer",
          minimum: 1,
          maximum: 4194304,
        },
        dt_rank: {
          description: "Rank of the projection to the step size; auto: ceil(d_model / 16).",
          type: ["integer", "string"],
          pattern: "^(auto)$",
          minimum: 1,
          maximum: 1048576,
          default: "auto",
        },
        n_heads: {
          description:
            "Channels are cut into this many equal groups, whose step sizes, B and C come from projections of their own (Zamba); divides d_inner.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
          default: 1,
        },
        conv_bias: {
          description: "Bias of the convolution.",
          type: "boolean",
          default: true,
        },
        bias: {
          description: "Biases of the input and output projections.",
          type: "boolean",
          default: false,
        },
        output_bias: {
          description: "Bias of the output projection. Default: as `bias`.",
          type: "boolean",
        },
        inner_norm: {
          description:
            "RMS norms of dt, B and C before they are used (Jamba; with `weight: none` Falcon-Mamba). Default: false.",
          $ref: "#/definitions/inner_norm",
        },
        dt_min: {
          description: "Step sizes start log-uniform between dt_min …",
          type: "number",
          exclusiveMinimum: 0,
          default: 0.001,
        },
        dt_max: {
          description: "… and dt_max …",
          type: "number",
          exclusiveMinimum: 0,
          default: 0.1,
        },
        dt_init_floor: {
          description: "… but not below dt_init_floor.",
          type: "number",
          exclusiveMinimum: 0,
          default: 0.0001,
        },
      },
    },
    mamba2: {
      title: "Mamba2Fields",
      description:
        "Mamba-2: state-space duality, one decay per head, B and C shared by groups of heads (Dao & Gu 2024).",
      type: "object",
      additionalProperties: false,
      required: ["type"],
      properties: {
        type: {
          description: "Mamba-2.",
          type: "string",
          const: "mamba2",
        },
        n_heads: {
          description: "Number of heads. Default: expand · d_model / head_dim.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        head_dim: {
          description: "Channels per head (P). The inner width is n_heads · head_dim.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
          default: 64,
        },
        expand: {
          description: "Inner width as a multiple of d_model, where n_heads is not given. Default: 2.",
          type: "number",
          exclusiveMinimum: 0,
          maximum: 64,
        },
        d_state: {
          description: "State size per channel (N).",
          type: "integer",
          minimum: 1,
          maximum: 65536,
          default: 128,
        },
        n_groups: {
          description: "Groups of heads that share B and C; divides n_heads.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
          default: 1,
        },
        d_conv: {
          description: "Kernel size of the causal depthwise convolution; 1 looks at the current token only.",
          type: "integer",
          minimum: 1,
          maximum: 256,
          default: 4,
        },
        conv_bias: {
          description: "Bias of the convolution.",
          type: "boolean",
          default: true,
        },
        bias: {
          description: "Biases of the input and output projections.",
          type: "boolean",
          default: false,
        },
        output_bias: {
          description: "Bias of the output projection. Default: as `bias`.",
          type: "boolean",
        },
        in_proj_scale: {
          $ref: "#/definitions/in_proj_scale",
        },
        gated_norm: {
          description:
            "Norm of the output and its order with the gate. Default: true. false: y · silu(z) only (Falcon-H1).",
          $ref: "#/definitions/gated_norm",
        },
        dt_limit: {
          description: "[low, high]: step sizes are clamped to this range at every position; high may be inf.",
          type: "array",
          minItems: 2,
          maxItems: 2,
          items: {
            type: ["number", "string"],
            minimum: 0,
            pattern: "^(inf)$",
          },
          default: [0, "inf"],
        },
        dt_min: {
          description: "Step sizes start log-uniform between dt_min …",
          type: "number",
          exclusiveMinimum: 0,
          default: 0.001,
        },
        dt_max: {
          description: "… and dt_max …",
          type: "number",
          exclusiveMinimum: 0,
          default: 0.1,
        },
        dt_init_floor: {
          description: "… but not below dt_init_floor.",
          type: "number",
          exclusiveMinimum: 0,
          default: 0.0001,
        },
        A_init_range: {
          description: "[low, high]: -A starts uniform in this range.",
          type: "array",
          minItems: 2,
          maxItems: 2,
          items: {
            type: "number",
            exclusiveMinimum: 0,
          },
          default: [1, 16],
        },
        D_has_hdim: {
          description: "The skip weight D has one value per channel instead of one per head.",
          type: "boolean",
          default: false,
        },
      },
    },
    in_proj_scale: {
      title: "InProjScaleFields",
      description: "Factors on what the input projection gives, part by part (the muP multipliers of Falcon-H1).",
      type: "object",
      additionalProperties: false,
      properties: {
        z: {
          description: "On the gate.",
          type: "number",
          default: 1,
        },
        x: {
          description: "On the channels.",
          type: "number",
          default: 1,
        },
        B: {
          description: "On B.",
          type: "number",
          default: 1,
        },
        C: {
          description: "On C.",
          type: "number",
          default: 1,
        },
        dt: {
          description: "On the step sizes, before their bias.",
          type: "number",
          default: 1,
        },
      },
    },
    gated_delta: {
      title: "GatedDeltaFields",
      description:
        "Gated DeltaNet: a linear-attention state with decay and the delta rule (Yang et al. 2024; Qwen3-Next, OLMo-Hybrid), and with a decay per channel Kimi Delta Attention (Kimi Team 2025).",
      type: "object",
      additionalProperties: false,
      required: ["type", "n_heads", "key_head_dim"],
      properties: {
        type: {
          description: "Gated DeltaNet.",
          type: "string",
          const: "gated_delta",
        },
        n_heads: {
          description: "Number of value heads, each with a state [key_head_dim, value_head_dim].",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        n_key_heads: {
          description: "Number of query and key heads; divides n_heads. Default: n_heads.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        key_head_dim: {
          description: "Channels of queries and keys per head.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        value_head_dim: {
          description: "Channels of values per head. Default: key_head_dim.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        d_conv: {
          description:
            "Kernel size of the causal depthwise convolution of q, k and v; 1 looks at the current token only.",
          type: "integer",
          minimum: 1,
          maximum: 256,
          default: 4,
        },
        conv_bias: {
          description: "Bias of the convolution.",
          type: "boolean",
          default: false,
        },
        bias: {
          description: "Biases of the input and output projections.",
          type: "boolean",
          default: false,
        },
        allow_neg_eigval: {
          description:
            "The write strength is 2 · sigmoid(b) instead of sigmoid(b), so that the state's transition can have negative eigenvalues.",
          type: "boolean",
          default: false,
        },
        decay: {
          description:
            "head: the whole state of a head decays by one factor. channel: each key channel has a decay of its own (Kimi Delta Attention).",
          type: "string",
          enum: ["head", "channel"],
          default: "head",
        },
        decay_rank: {
          description:
            "The decay is computed from the input by two matrices with this many channels between them. Left out: by one matrix.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        gate_rank: {
          description: "The same for the output gate.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        qk_eps: {
          description: "Queries and keys are divided by sqrt(sum of squares + qk_eps) per head.",
          type: "number",
          exclusiveMinimum: 0,
          maximum: 1,
          default: 0.000001,
        },
        output_norm: {
          description: "RMS norm of each head's output, one weight vector for all heads. Default: true.",
          $ref: "#/definitions/inner_norm",
        },
        output_gate: {
          description: "Activation of the gate that multiplies the normed output; none: no gate.",
          type: "string",
          enum: ["silu", "sigmoid", "none"],
          default: "silu",
        },
        dt_min: {
          description: "Step sizes start log-uniform between dt_min …",
          type: "number",
          exclusiveMinimum: 0,
          default: 0.001,
        },
        dt_max: {
          description: "… and dt_max …",
          type: "number",
          exclusiveMinimum: 0,
          default: 0.1,
        },
        dt_init_floor: {
          description: "… but not below dt_init_floor.",
          type: "number",
          exclusiveMinimum: 0,
          default: 0.0001,
        },
        A_init_range: {
          description: "[low, high]: -A starts uniform in this range.",
          type: "array",
          minItems: 2,
          maxItems: 2,
          items: {
            type: "number",
            exclusiveMinimum: 0,
          },
          default: [1, 16],
        },
      },
    },
    linear_attention: {
      title: "LinearAttentionFields",
      description:
        "Linear attention with no decay (Katharopoulos et al. 2020, without the normaliser), RetNet's fixed decay (Sun et al. 2023) or lightning slopes (Qin et al. 2024; MiniMax).",
      type: "object",
      additionalProperties: false,
      required: ["type", "n_heads"],
      properties: {
        type: {
          description: "Linear attention.",
          type: "string",
          const: "linear_attention",
        },
        n_heads: {
          description: "Number of query heads.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        n_kv_heads: {
          description: "Number of key and value heads; divides n_heads. Default: n_heads.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        key_head_dim: {
          description: "Channels of queries and keys per head. Default: d_model / n_heads.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        value_head_dim: {
          description: "Channels of values per head. Default: key_head_dim.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        feature_map: {
          description: "Applied to queries and keys. elu_plus_one: elu(x) + 1.",
          type: "string",
          enum: ["none", "silu", "relu", "elu_plus_one"],
          default: "none",
        },
        value_activation: {
          description: "Applied to values.",
          type: "string",
          enum: ["none", "silu"],
          default: "none",
        },
        decay: {
          description:
            "none: the state only grows. retnet: head h keeps 1 - 2^(-5-h) of its state per token. lightning: exp(-slope), slope = 2^(-8(h+1)/n_kv_heads) · (1 - i/(m-1+1e-5) + 1e-5) in the i-th (from 0) of m layers with a mixer. Or a list of n_kv_heads factors in (0, 1].",
          type: ["string", "array"],
          pattern: "^(none|retnet|lightning)$",
          minItems: 1,
          maxItems: 65536,
          items: {
            type: "number",
            exclusiveMinimum: 0,
            maximum: 1,
          },
          default: "none",
        },
        rope: {
          description: "Rotary positions of queries and keys. Default: false.",
          $ref: "#/definitions/rope",
        },
        scale: {
          description: "Multiplies q · k. Default: 1 / sqrt(key_head_dim).",
          type: "number",
        },
        output_norm: {
          description: "RMS norm of the output. Default: true.",
          $ref: "#/definitions/head_norm",
        },
        output_gate: {
          description: "Activation of a gate computed from the input that multiplies the normed output; none: no gate.",
          type: "string",
          enum: ["none", "silu", "sigmoid"],
          default: "none",
        },
        bias: {
          description: "Biases of all projections.",
          type: "boolean",
          default: false,
        },
      },
    },
    attention: {
      title: "AttentionFields",
      description: "Causal softmax attention: multi-head, grouped-query (n_kv_heads) or multi-query (n_kv_heads: 1).",
      type: "object",
      additionalProperties: false,
      required: ["type", "n_heads"],
      properties: {
        type: {
          description: "Softmax attention.",
          type: "string",
          const: "attention",
        },
        n_heads: {
          description: "Number of query heads.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        n_kv_heads: {
          description: "Number of key and value heads; divides n_heads. Default: n_heads.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        head_dim: {
          description: "Channels of queries and keys per head. Default: d_model / n_heads.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        value_head_dim: {
          description: "Channels of values per head. Default: head_dim.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        rope: {
          description: "Rotary positions of queries and keys. Default: false.",
          $ref: "#/definitions/rope",
        },
        window: {
          description: "Number of keys each query sees, itself included. Left out: all before it.",
          type: "integer",
          minimum: 1,
          maximum: 16777216,
        },
        softcap: {
          description: "Scores become cap · tanh(score / cap) (Gemma 2). Left out: unchanged.",
          type: "number",
          exclusiveMinimum: 0,
        },
        qk_norm: {
          description: "RMS norms of queries and keys before rope. Default: false.",
          $ref: "#/definitions/head_norm",
        },
        share_kv: {
          description:
            "Keys, values and their cache are those of the nearest attention before (Hymba), which must have the same heads of keys and the same window.",
          type: "boolean",
          default: false,
        },
        sink: {
          description: "One learned logit per head in the softmax's denominator, so that a head may attend to nothing.",
          type: "boolean",
          default: false,
        },
        scale: {
          description: "Multiplies q · k. Default: 1 / sqrt(head_dim).",
          type: "number",
        },
        qkv_bias: {
          description: "Biases of the query, key and value projections.",
          type: "boolean",
          default: false,
        },
        output_bias: {
          description: "Bias of the output projection.",
          type: "boolean",
          default: false,
        },
        output_gate: {
          description: "sigmoid: the heads' output is multiplied by sigmoid of a projection of the input (Qwen3-Next).",
          type: "string",
          enum: ["none", "sigmoid"],
          default: "none",
        },
      },
    },
    latent_attention: {
      title: "LatentAttentionFields",
      description:
        "Multi-head latent attention: keys and values of all heads are made from one narrow vector per token, which is all that a cache keeps (DeepSeek-V2 2024; Kimi Linear).",
      type: "object",
      additionalProperties: false,
      required: ["type", "n_heads", "head_dim", "kv_rank", "rope_head_dim"],
      properties: {
        type: {
          description: "Multi-head latent attention.",
          type: "string",
          const: "latent_attention",
        },
        n_heads: {
          description: "Number of heads.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        kv_rank: {
          description: "Channels of the vector that keys and values are made from.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        q_rank: {
          description:
            "Queries are made by two matrices with this many channels, and a norm, between them. Left out: by one matrix.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        head_dim: {
          description: "Channels of queries and keys per head that each head has for itself.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        rope_head_dim: {
          description:
            "Further channels of queries per head, whose keys all heads have in common; rope turns these alone.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        value_head_dim: {
          description: "Channels of values per head. Default: head_dim.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        rope: {
          description: "Rotary positions of the rope_head_dim channels. Default: false.",
          $ref: "#/definitions/rope",
        },
        window: {
          description: "Number of keys each query sees, itself included. Left out: all before it.",
          type: "integer",
          minimum: 1,
          maximum: 16777216,
        },
        softcap: {
          description: "Scores become cap · tanh(score / cap). Left out: unchanged.",
          type: "number",
          exclusiveMinimum: 0,
        },
        latent_norm: {
          description: "RMS norms of the narrow vectors. Default: true.",
          $ref: "#/definitions/inner_norm",
        },
        scale: {
          description: "Multiplies q · k. Default: 1 / sqrt(head_dim + rope_head_dim).",
          type: "number",
        },
        bias: {
          description: "Biases of the projections from the input to the narrow vectors and the common key.",
          type: "boolean",
          default: false,
        },
        output_bias: {
          description: "Bias of the output projection.",
          type: "boolean",
          default: false,
        },
      },
    },
    short_conv: {
      title: "ShortConvFields",
      description:
        "A gated short convolution: out(C · conv(B · x)), where B, C and x are projections of the input (LFM2).",
      type: "object",
      additionalProperties: false,
      required: ["type"],
      properties: {
        type: {
          description: "Gated short convolution.",
          type: "string",
          const: "short_conv",
        },
        d_conv: {
          description: "Kernel size of the causal depthwise convolution; 1 looks at the current token only.",
          type: "integer",
          minimum: 1,
          maximum: 256,
          default: 3,
        },
        conv_bias: {
          description: "Bias of the convolution.",
          type: "boolean",
          default: false,
        },
        bias: {
          description: "Biases of the input and output projections.",
          type: "boolean",
          default: false,
        },
      },
    },
    rg_lru: {
      title: "RgLruFields",
      description:
        "The recurrent block of Griffin: causal convolution, then a real-gated linear recurrent unit, and beside them a gate (De et al. 2024; RecurrentGemma).",
      type: "object",
      additionalProperties: false,
      required: ["type", "n_heads"],
      properties: {
        type: {
          description: "Real-gated linear recurrent unit.",
          type: "string",
          const: "rg_lru",
        },
        n_heads: {
          description: "Blocks of channels whose gates read their own block only; divides d_inner.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        d_inner: {
          description: "Inner width. Default: d_model.",
          type: "integer",
          minimum: 1,
          maximum: 4194304,
        },
        d_conv: {
          description: "Kernel size of the causal depthwise convolution; 1 looks at the current token only.",
          type: "integer",
          minimum: 1,
          maximum: 256,
          default: 4,
        },
        conv_bias: {
          description: "Bias of the convolution.",
          type: "boolean",
          default: true,
        },
        bias: {
          description: "Biases of the input and output projections.",
          type: "boolean",
          default: true,
        },
        activation: {
          description: "Applied to the gate.",
          type: "string",
          enum: ["gelu_tanh", "gelu", "silu"],
          default: "gelu_tanh",
        },
      },
    },
    wkv: {
      title: "WkvFields",
      description:
        "The time mixing of RWKV-4: per channel a mean of all values so far, whose weights are the exponentials of keys and fade with age (Peng et al. 2023).",
      type: "object",
      additionalProperties: false,
      required: ["type"],
      properties: {
        type: {
          description: "RWKV-4 time mixing.",
          type: "string",
          const: "wkv",
        },
        d_inner: {
          description: "Width of keys, values and their gate. Default: d_model.",
          type: "integer",
          minimum: 1,
          maximum: 4194304,
        },
        token_shift: {
          description:
            "Each projection of the input reads μ · x + (1 - μ) · (x of the token before), with a learned μ per channel of its own.",
          type: "boolean",
          default: true,
        },
      },
    },
    s4d: {
      title: "S4dFields",
      description:
        "S4D: a time-invariant diagonal state-space model per channel, then an activation and an output projection (Gu et al. 2022).",
      type: "object",
      additionalProperties: false,
      required: ["type"],
      properties: {
        type: {
          description: "S4D.",
          type: "string",
          const: "s4d",
        },
        d_state: {
          description: "State size per channel; complex modes come in d_state / 2 conjugate pairs.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
          default: 64,
        },
        discretization: {
          description: "zoh: zero-order hold, exact for constant input. euler: A exactly, B to first order (dt · B).",
          type: "string",
          enum: ["zoh", "euler"],
          default: "zoh",
        },
        A_init: {
          description:
            "Modes at the start. s4d_lin: -1/2 + πn·i. s4d_inv: -1/2 + (N/π)(N/(2n+1) - 1)·i. s4d_real: -(n + 1).",
          type: "string",
          enum: ["s4d_lin", "s4d_inv", "s4d_real"],
          default: "s4d_lin",
        },
        dt_min: {
          description: "Step sizes start log-uniform between dt_min …",
          type: "number",
          exclusiveMinimum: 0,
          default: 0.001,
        },
        dt_max: {
          description: "… and dt_max.",
          type: "number",
          exclusiveMinimum: 0,
          default: 0.1,
        },
        activation: {
          description: "Applied to the output of the state-space model.",
          type: "string",
          enum: ["gelu", "silu", "none"],
          default: "gelu",
        },
        output: {
          description: "glu: W1 y · sigmoid(W2 y). linear: W y.",
          type: "string",
          enum: ["glu", "linear"],
          default: "glu",
        },
        bias: {
          description: "Biases of the output projection.",
          type: "boolean",
          default: true,
        },
      },
    },
    rnn: {
      title: "RnnFields",
      description: "A recurrent network, the classical baseline, followed by an output projection to d_model.",
      type: "object",
      additionalProperties: false,
      required: ["type"],
      properties: {
        type: {
          description: "A recurrent network.",
          type: "string",
          const: "rnn",
        },
        cell: {
          description:
            "gru: gated recurrent unit (Cho et al. 2014), the reset gate applied after the recurrent product.",
          type: "string",
          enum: ["gru"],
          default: "gru",
        },
        d_hidden: {
          description: "Size of the hidden state. Default: d_model.",
          type: "integer",
          minimum: 1,
          maximum: 1048576,
        },
        bias: {
          description: "Biases of gates and output projection.",
          type: "boolean",
          default: true,
        },
      },
    },
    mlp: {
      title: "MlpFields",
      description: "Two-layer network: down(activation(up x)), or down(activation(gate x) · up x) when gated.",
      type: "object",
      additionalProperties: false,
      required: ["type", "d_ff"],
      properties: {
        type: {
          description: "Multi-layer perceptron.",
          type: "string",
          const: "mlp",
        },
        d_ff: {
          description: "Hidden width.",
          type: "integer",
          minimum: 1,
          maximum: 4194304,
        },
        activation: {
          description: "gelu: with erf. gelu_tanh: its tanh approximation. relu2: relu squared.",
          type: "string",
          enum: ["silu", "gelu", "gelu_tanh", "relu", "relu2"],
          default: "silu",
        },
        gated: {
          description: "A second projection, through the activation, multiplies the first (SwiGLU).",
          type: "boolean",
          default: true,
        },
        bias: {
          description: "Biases of all projections.",
          type: "boolean",
          default: false,
        },
        gate_scale: {
          description: "Multiplies gate x before the activation (Falcon-H1).",
          type: "number",
          default: 1,
        },
        token_shift: {
          description:
            "Each projection of the input reads μ · x + (1 - μ) · (x of the token before), with a learned μ per channel of its own (RWKV).",
          type: "boolean",
          default: false,
        },
        output_gate: {
          description: "sigmoid: the result is multiplied by sigmoid of a projection of the input (RWKV).",
          type: "string",
          enum: ["none", "sigmoid"],
          default: "none",
        },
      },
    },
    linear: {
      title: "LinearFields",
      description: "One projection: W x + bias.",
      type: "object",
      additionalProperties: false,
      required: ["type"],
      properties: {
        type: {
          description: "A linear layer.",
          type: "string",
          const: "linear",
        },
        bias: {
          description: "Adds a learned bias.",
          type: "boolean",
          default: false,
        },
      },
    },
    moe: {
      title: "MoeFields",
      description:
        "Mixture of experts: a router chooses top_k of n_experts networks for each token and adds up their results, weighted (Shazeer et al. 2017). Only those are computed.",
      type: "object",
      additionalProperties: false,
      required: ["type", "n_experts", "top_k", "d_ff"],
      properties: {
        type: {
          description: "Mixture of experts.",
          type: "string",
          const: "moe",
        },
        n_experts: {
          description: "Networks to choose from.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        top_k: {
          description: "Networks that a token is sent to.",
          type: "integer",
          minimum: 1,
          maximum: 1024,
        },
        d_ff: {
          description: "Hidden width of each expert.",
          type: "integer",
          minimum: 1,
          maximum: 4194304,
        },
        activation: {
          description: "Of the experts, as in mlp.",
          type: "string",
          enum: ["silu", "gelu", "gelu_tanh", "relu", "relu2"],
          default: "silu",
        },
        gated: {
          description: "Experts have a second projection, through the activation, which multiplies the first (SwiGLU).",
          type: "boolean",
          default: true,
        },
        latent: {
          description:
            "Width that experts read and write: projections shared by all of them lead there and back (Nemotron-3). The router and the shared expert stay at d_model. Left out: d_model, without projections.",
          type: "integer",
          minimum: 1,
          maximum: 1048576,
        },
        router: {
          $ref: "#/definitions/router",
        },
        shared: {
          $ref: "#/definitions/shared_expert",
        },
      },
    },
    router: {
      title: "RouterFields",
      description: "How experts are chosen and weighed, from logits W x with W [n_experts, d_model].",
      type: "object",
      additionalProperties: false,
      properties: {
        score: {
          description: "What logits become: softmax over all experts, or a sigmoid for each (DeepSeek-V3).",
          type: "string",
          enum: ["softmax", "sigmoid"],
          default: "softmax",
        },
        normalize: {
          description:
            "Divide the scores of the chosen experts by their sum + normalize_eps. With softmax this is the softmax of the chosen logits (Mixtral).",
          type: "boolean",
          default: true,
        },
        normalize_eps: {
          description: "Added to the sum.",
          type: "number",
          minimum: 0,
          default: 0,
        },
        scale: {
          description: "Multiplies the weights last.",
          type: "number",
          exclusiveMinimum: 0,
          default: 1,
        },
        selection_bias: {
          description:
            "Choose by score + bias, a number for each expert that weights do not see and that training moves towards equal load (DeepSeek-V3).",
          type: "boolean",
          default: false,
        },
        n_groups: {
          description:
            "Groups of neighbouring experts; only those of the best top_groups may be chosen. A group is as good as its two best experts together (DeepSeek-V3).",
          type: "integer",
          minimum: 1,
          maximum: 65536,
          default: 1,
        },
        top_groups: {
          description: "Groups that experts may be chosen from. Default: n_groups.",
          type: "integer",
          minimum: 1,
          maximum: 65536,
        },
        balance_loss: {
          description:
            "Training adds so much of n_experts · Σ (share of choices · mean score), which is 1 where all experts are used alike (Fedus et al. 2021). Default: 0.01; 0 with selection_bias.",
          type: "number",
          minimum: 0,
        },
        z_loss: {
          description: "Training adds so much of the mean of log²(Σ exp(logits)) (Zoph et al. 2022).",
          type: "number",
          minimum: 0,
          default: 0,
        },
        bias_rate: {
          description:
            "A training step moves the bias of an expert by so much, up where it is chosen less than the mean, else down (Wang et al. 2024). With selection_bias.",
          type: "number",
          minimum: 0,
          default: 0.001,
        },
      },
    },
    shared_expert: {
      title: "SharedExpertFields",
      description: "A network that every token goes through besides; activation and gate are those of the experts.",
      type: "object",
      additionalProperties: false,
      required: ["d_ff"],
      properties: {
        d_ff: {
          description: "Hidden width; several shared experts are one of their summed width.",
          type: "integer",
          minimum: 1,
          maximum: 4194304,
        },
        bias: {
          description: "Biases of its projections.",
          type: "boolean",
          default: false,
        },
        gate: {
          description: "sigmoid: its result is multiplied by sigmoid(w · x), one number for each token (Qwen).",
          type: "string",
          enum: ["none", "sigmoid"],
          default: "none",
        },
      },
    },
    rope: {
      title: "RopeFields",
      description:
        "Rotary positions (Su et al. 2021): channel j is rotated with channel j + rotary_dim / 2. true: with its defaults; false: none.",
      type: ["boolean", "object"],
      additionalProperties: false,
      properties: {
        theta: {
          description: "Base of the wavelengths.",
          type: "number",
          exclusiveMinimum: 1,
          default: 10000,
        },
        fraction: {
          description:
            "Part of each head's channels that is rotated: rotary_dim = floor(fraction · head_dim), which must be even.",
          type: "number",
          exclusiveMinimum: 0,
          maximum: 1,
          default: 1,
        },
        scaling: {
          $ref: "#/definitions/rope_scaling",
        },
      },
    },
    rope_scaling: {
      title: "RopeScalingFields",
      description: "Stretches the wavelengths for sequences longer than those trained on. Left out: none.",
      type: "object",
      required: ["type"],
      discriminator: {
        propertyName: "type",
      },
      oneOf: [
        {
          $ref: "#/definitions/rope_linear",
        },
        {
          $ref: "#/definitions/rope_ntk",
        },
        {
          $ref: "#/definitions/rope_dynamic",
        },
        {
          $ref: "#/definitions/rope_yarn",
        },
        {
          $ref: "#/definitions/rope_llama3",
        },
        {
          $ref: "#/definitions/rope_longrope",
        },
        {
          $ref: "#/definitions/rope_proportional",
        },
      ],
    },
    rope_linear: {
      title: "RopeLinearFields",
      description: "Position interpolation: all frequencies divided by factor (Chen et al. 2023).",
      type: "object",
      additionalProperties: false,
      required: ["type", "factor"],
      properties: {
        type: {
          description: "Position interpolation.",
          type: "string",
          const: "linear",
        },
        factor: {
          description: "How many times longer.",
          type: "number",
          minimum: 1,
        },
      },
    },
    rope_ntk: {
      title: "RopeNtkFields",
      description: "NTK-aware: theta becomes theta · factor^(d / (d - 2)), d = rotary_dim.",
      type: "object",
      additionalProperties: false,
      required: ["type", "factor"],
      properties: {
        type: {
          description: "NTK-aware scaling.",
          type: "string",
          const: "ntk",
        },
        factor: {
          description: "How many times longer.",
          type: "number",
          minimum: 1,
        },
      },
    },
    rope_dynamic: {
      title: "RopeDynamicFields",
      description:
        "Dynamic NTK: NTK-aware scaling by factor · length / original_max_length - (factor - 1), none up to original_max_length.",
      type: "object",
      additionalProperties: false,
      required: ["type", "factor", "original_max_length"],
      properties: {
        type: {
          description: "Dynamic NTK scaling.",
          type: "string",
          const: "dynamic",
        },
        factor: {
          description: "How many times longer.",
          type: "number",
          minimum: 1,
        },
        original_max_length: {
          description: "Sequence length trained on.",
          type: "integer",
          minimum: 1,
        },
        length: {
          description:
            "Sequence length that the model is to read. One scaling serves all positions, so that a cache stays valid. Default: original_max_length.",
          type: "integer",
          minimum: 1,
        },
      },
    },
    rope_yarn: {
      title: "RopeYarnFields",
      description: "YaRN: low frequencies interpolated, high ones kept, a ramp between (Peng et al. 2023).",
      type: "object",
      additionalProperties: false,
      required: ["type", "factor", "original_max_length"],
      properties: {
        type: {
          description: "YaRN.",
          type: "string",
          const: "yarn",
        },
        factor: {
          description: "How many times longer.",
          type: "number",
          minimum: 1,
        },
        original_max_length: {
          description: "Sequence length trained on.",
          type: "integer",
          minimum: 1,
        },
        beta_fast: {
          description: "Frequencies with more rotations than this over original_max_length are kept.",
          type: "number",
          exclusiveMinimum: 0,
          default: 32,
        },
        beta_slow: {
          description: "Frequencies with fewer rotations than this are interpolated fully.",
          type: "number",
          exclusiveMinimum: 0,
          default: 1,
        },
        attention_factor: {
          description: "Multiplies cosines and sines. Default: 0.1 · ln(factor) + 1.",
          type: "number",
          exclusiveMinimum: 0,
        },
        truncate: {
          description: "The ramp starts and ends at whole pairs.",
          type: "boolean",
          default: true,
        },
      },
    },
    rope_llama3: {
      title: "RopeLlama3Fields",
      description: "Llama 3.1: long wavelengths divided by factor, short ones kept, a smooth step between.",
      type: "object",
      additionalProperties: false,
      required: ["type", "factor", "original_max_length"],
      properties: {
        type: {
          description: "Llama 3.1 scaling.",
          type: "string",
          const: "llama3",
        },
        factor: {
          description: "How many times longer.",
          type: "number",
          minimum: 1,
        },
        original_max_length: {
          description: "Sequence length trained on.",
          type: "integer",
          minimum: 1,
        },
        low_freq_factor: {
          description: "Wavelengths above original_max_length / low_freq_factor are divided fully.",
          type: "number",
          exclusiveMinimum: 0,
          default: 1,
        },
        high_freq_factor: {
          description: "Wavelengths below original_max_length / high_freq_factor are kept.",
          type: "number",
          exclusiveMinimum: 0,
          default: 4,
        },
      },
    },
    rope_longrope: {
      title: "RopeLongropeFields",
      description: "LongRoPE: each frequency divided by a factor of its own (Ding et al. 2024).",
      type: "object",
      additionalProperties: false,
      required: ["type", "factors"],
      properties: {
        type: {
          description: "LongRoPE.",
          type: "string",
          const: "longrope",
        },
        factors: {
          description: "One divisor per rotated pair: rotary_dim / 2 numbers.",
          type: "array",
          minItems: 1,
          maxItems: 32768,
          items: {
            type: "number",
            exclusiveMinimum: 0,
          },
        },
        long_factors: {
          description: "The divisors where length is more than original_max_length.",
          type: "array",
          minItems: 1,
          maxItems: 32768,
          items: {
            type: "number",
            exclusiveMinimum: 0,
          },
        },
        original_max_length: {
          description: "Sequence length up to which factors are used; needed with long_factors.",
          type: "integer",
          minimum: 1,
        },
        length: {
          description: "Sequence length that the model is to read. Default: original_max_length.",
          type: "integer",
          minimum: 1,
        },
        attention_factor: {
          description: "Multiplies cosines and sines.",
          type: "number",
          exclusiveMinimum: 0,
          default: 1,
        },
      },
    },
    rope_proportional: {
      title: "RopeProportionalFields",
      description:
        "Pairs span the whole head, channel j with channel j + d / 2, and of the d / 2 frequencies theta^(-2j / d) / factor only the first floor(fraction · d / 2) turn; the other pairs stand still.",
      type: "object",
      additionalProperties: false,
      required: ["type"],
      properties: {
        type: {
          description: "Rotation of a proportion of the pairs.",
          type: "string",
          const: "proportional",
        },
        factor: {
          description: "How many times longer.",
          type: "number",
          minimum: 1,
          default: 1,
        },
      },
    },
  },
} as const;
