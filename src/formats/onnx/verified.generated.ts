// Written by scripts/generate-onnx-table.mjs from exports that onnxruntime ran; do not edit.

export interface VerifiedModel {
  /** A checkpoint of test/fixtures/hf or a file of architectures/. */
  readonly name: string;
  /** By dialect, with f32 weights: the largest error relative to the largest logit, or why it can't be exported. */
  readonly dialects: Readonly<Record<string, number | string>>;
  /** model_type under which transformers.js runs it; null where it can't. */
  readonly transformersJs: string | null;
  readonly types: Readonly<Record<string, number | string>>;
}

export const verified: readonly VerifiedModel[] = [
  {
    name: "bamba",
    dialects: {
      ort: 5e-7,
      onnx: 5e-7,
      portable: 5e-7,
      scan: 5e-7,
    },
    transformersJs: "granitemoehybrid",
  },
  {
    name: "falcon_h1",
    dialects: {
      ort: 3e-7,
      onnx: 3e-7,
      portable: 3e-7,
      scan: 3e-7,
    },
    transformersJs: "falcon_h1",
  },
  {
    name: "falcon_h1_norm",
    dialects: {
      ort: 5e-7,
      onnx: 5e-7,
      portable: 5e-7,
      scan: 5e-7,
    },
    transformersJs: "falcon_h1",
  },
  {
    name: "falcon_mamba",
    dialects: {
      ort: 0.000001,
      onnx: 0.000001,
      portable: 0.000001,
      scan: 0.000001,
    },
    transformersJs: null,
  },
  {
    name: "gemma2",
    dialects: {
      ort: 8e-7,
      onnx: 8e-7,
      portable: 8e-7,
      scan: 8e-7,
    },
    transformersJs: "gemma2",
  },
  {
    name: "gemma3",
    dialects: {
      ort: 0.000001,
      onnx: 0.000001,
      portable: 0.000001,
      scan: 0.000001,
    },
    transformersJs: "gemma3_text",
  },
  {
    name: "gpt2",
    dialects: {
      ort: 6e-7,
      onnx: 6e-7,
      portable: 6e-7,
      scan: 6e-7,
    },
    transformersJs: "gpt2",
  },
  {
    name: "granitemoehybrid",
    dialects: {
      ort: 3e-7,
      onnx: 3e-7,
      portable: 3e-7,
      scan: 3e-7,
    },
    transformersJs: "granitemoehybrid",
  },
  {
    name: "granitemoehybrid_dense",
    dialects: {
      ort: 5e-7,
      onnx: 5e-7,
      portable: 5e-7,
      scan: 5e-7,
    },
    transformersJs: "granitemoehybrid",
  },
  {
    name: "jamba",
    dialects: {
      ort: 7e-7,
      onnx: 7e-7,
      portable: 7e-7,
      scan: 7e-7,
    },
    transformersJs: "granitemoehybrid",
  },
  {
    name: "kimi_linear",
    dialects: {
      ort: 0.000001,
      onnx: 0.000001,
      portable: 0.000001,
      scan: 0.000001,
    },
    transformersJs: "qwen3_next",
  },
  {
    name: "lfm2",
    dialects: {
      ort: 7e-7,
      onnx: 7e-7,
      portable: 7e-7,
      scan: 7e-7,
    },
    transformersJs: "lfm2",
  },
  {
    name: "lfm2_moe",
    dialects: {
      ort: 8e-7,
      onnx: 8e-7,
      portable: 8e-7,
      scan: 8e-7,
    },
    transformersJs: "lfm2_moe",
  },
  {
    name: "llama",
    dialects: {
      ort: 4e-7,
      onnx: 4e-7,
      portable: 4e-7,
      scan: 4e-7,
    },
    transformersJs: "llama",
  },
  {
    name: "mamba",
    dialects: {
      ort: 0.000003,
      onnx: 0.000003,
      portable: 0.000003,
      scan: 0.000003,
    },
    transformersJs: null,
  },
  {
    name: "mamba2",
    dialects: {
      ort: 4e-7,
      onnx: 4e-7,
      portable: 4e-7,
      scan: 4e-7,
    },
    transformersJs: null,
  },
  {
    name: "minimax",
    dialects: {
      ort: 3e-7,
      onnx: 3e-7,
      portable: 3e-7,
      scan: 3e-7,
    },
    transformersJs: "qwen3_next",
  },
  {
    name: "nemotron_h",
    dialects: {
      ort: 5e-7,
      onnx: 5e-7,
      portable: 5e-7,
      scan: 5e-7,
    },
    transformersJs: "nemotron_h",
  },
  {
    name: "olmo_hybrid",
    dialects: {
      ort: 0.000002,
      onnx: 0.000002,
      portable: 0.000002,
      scan: 0.000002,
    },
    transformersJs: "olmo_hybrid",
  },
  {
    name: "qwen3",
    dialects: {
      ort: 3e-7,
      onnx: 3e-7,
      portable: 3e-7,
      scan: 3e-7,
    },
    transformersJs: "qwen3",
  },
  {
    name: "qwen3_5_text",
    dialects: {
      ort: 0.000003,
      onnx: 0.000003,
      portable: 0.000003,
      scan: 0.000003,
    },
    transformersJs: "qwen3_next",
  },
  {
    name: "qwen3_next",
    dialects: {
      ort: 0.000001,
      onnx: 0.000001,
      portable: 0.000001,
      scan: 0.000001,
    },
    transformersJs: "qwen3_next",
  },
  {
    name: "recurrent_gemma",
    dialects: {
      ort: 5e-7,
      onnx: 5e-7,
      portable: 5e-7,
      scan: 5e-7,
    },
    transformersJs: "qwen3_next",
  },
  {
    name: "rwkv",
    dialects: {
      ort: "wkv in layers.0.mixer can't be written in ONNX (dialect ort)",
      onnx: "wkv in layers.0.mixer can't be written in ONNX (dialect onnx)",
      portable: "wkv in layers.0.mixer can't be written in ONNX (dialect portable)",
      scan: "wkv in layers.0.mixer can't be written in ONNX (dialect scan)",
    },
    transformersJs: null,
  },
  {
    name: "zamba",
    dialects: {
      ort: 0.000002,
      onnx: 0.000002,
      portable: 0.000002,
      scan: 0.000002,
    },
    transformersJs: null,
  },
  {
    name: "zamba2",
    dialects: {
      ort: 0.000007,
      onnx: 0.000007,
      portable: 0.000007,
      scan: 0.000007,
    },
    transformersJs: "granitemoehybrid",
  },
  {
    name: "architectures/bamba.yaml",
    dialects: {
      ort: 0.000001,
      onnx: 0.000001,
      portable: 0.000001,
      scan: 0.000001,
    },
    transformersJs: "granitemoehybrid",
  },
  {
    name: "architectures/falcon-h1.yaml",
    dialects: {
      ort: 0.000002,
      onnx: 0.000002,
      portable: 0.000002,
      scan: 0.000002,
    },
    transformersJs: "falcon_h1",
  },
  {
    name: "architectures/falcon-mamba.yaml",
    dialects: {
      ort: 8e-7,
      onnx: 8e-7,
      portable: 8e-7,
      scan: 8e-7,
    },
    transformersJs: null,
  },
  {
    name: "architectures/gated-delta.yaml",
    dialects: {
      ort: 0.000002,
      onnx: 0.000002,
      portable: 0.000002,
      scan: 0.000002,
    },
    transformersJs: "qwen3_next",
  },
  {
    name: "architectures/gemma2.yaml",
    dialects: {
      ort: 7e-7,
      onnx: 7e-7,
      portable: 7e-7,
      scan: 7e-7,
    },
    transformersJs: "gemma2",
  },
  {
    name: "architectures/gemma3.yaml",
    dialects: {
      ort: 0.000001,
      onnx: 0.000001,
      portable: 0.000001,
      scan: 0.000001,
    },
    transformersJs: "gemma3_text",
  },
  {
    name: "architectures/gpt2.yaml",
    dialects: {
      ort: 0.000001,
      onnx: 0.000001,
      portable: 0.000001,
      scan: 0.000001,
    },
    transformersJs: "gpt2",
  },
  {
    name: "architectures/granite-hybrid.yaml",
    dialects: {
      ort: 3e-7,
      onnx: 3e-7,
      portable: 3e-7,
      scan: 3e-7,
    },
    transformersJs: "granitemoehybrid",
  },
  {
    name: "architectures/gru.yaml",
    dialects: {
      ort: 6e-7,
      onnx: 6e-7,
      portable: 6e-7,
      scan: 6e-7,
    },
    transformersJs: null,
  },
  {
    name: "architectures/hymba.yaml",
    dialects: {
      ort: "hymba reads 5 learned tokens before the first one, which can't be written in ONNX yet",
      onnx: "hymba reads 5 learned tokens before the first one, which can't be written in ONNX yet",
      portable: "hymba reads 5 learned tokens before the first one, which can't be written in ONNX yet",
      scan: "hymba reads 5 learned tokens before the first one, which can't be written in ONNX yet",
    },
    transformersJs: null,
  },
  {
    name: "architectures/jamba.yaml",
    dialects: {
      ort: 0.000004,
      onnx: 0.000004,
      portable: 0.000004,
      scan: 0.000004,
    },
    transformersJs: "granitemoehybrid",
  },
  {
    name: "architectures/kimi-linear.yaml",
    dialects: {
      ort: 0.000003,
      onnx: 0.000003,
      portable: 0.000003,
      scan: 0.000003,
    },
    transformersJs: "qwen3_next",
  },
  {
    name: "architectures/lfm2.yaml",
    dialects: {
      ort: 0.000002,
      onnx: 0.000002,
      portable: 0.000002,
      scan: 0.000002,
    },
    transformersJs: "lfm2",
  },
  {
    name: "architectures/lightning.yaml",
    dialects: {
      ort: 0.000002,
      onnx: 0.000002,
      portable: 0.000002,
      scan: 0.000002,
    },
    transformersJs: "qwen3_next",
  },
  {
    name: "architectures/mamba.yaml",
    dialects: {
      ort: 9e-7,
      onnx: 9e-7,
      portable: 9e-7,
      scan: 9e-7,
    },
    transformersJs: null,
  },
  {
    name: "architectures/mamba2.yaml",
    dialects: {
      ort: 0.000001,
      onnx: 0.000001,
      portable: 0.000001,
      scan: 0.000001,
    },
    transformersJs: null,
  },
  {
    name: "architectures/minimax.yaml",
    dialects: {
      ort: 3e-7,
      onnx: 3e-7,
      portable: 3e-7,
      scan: 3e-7,
    },
    transformersJs: "qwen3_next",
  },
  {
    name: "architectures/mixtral.yaml",
    dialects: {
      ort: 0.000004,
      onnx: 0.000004,
      portable: 0.000004,
      scan: 0.000004,
    },
    transformersJs: "llama",
  },
  {
    name: "architectures/nemotron-3.yaml",
    dialects: {
      ort: 0.000001,
      onnx: 0.000001,
      portable: 0.000001,
      scan: 0.000001,
    },
    transformersJs: "nemotron_h",
  },
  {
    name: "architectures/nemotron-h.yaml",
    dialects: {
      ort: 0.000002,
      onnx: 0.000002,
      portable: 0.000002,
      scan: 0.000002,
    },
    transformersJs: "nemotron_h",
  },
  {
    name: "architectures/olmo-hybrid.yaml",
    dialects: {
      ort: 0.00001,
      onnx: 0.00001,
      portable: 0.00001,
      scan: 0.00001,
    },
    transformersJs: "olmo_hybrid",
  },
  {
    name: "architectures/quickstart.yaml",
    dialects: {
      ort: 0.000001,
      onnx: 0.000001,
      portable: 0.000001,
      scan: 0.000001,
    },
    transformersJs: "granitemoehybrid",
  },
  {
    name: "architectures/qwen3-moe.yaml",
    dialects: {
      ort: 0.000007,
      onnx: 0.000007,
      portable: 0.000007,
      scan: 0.000007,
    },
    transformersJs: "llama",
  },
  {
    name: "architectures/qwen3-next.yaml",
    dialects: {
      ort: 0.000002,
      onnx: 0.000002,
      portable: 0.000002,
      scan: 0.000002,
    },
    transformersJs: "qwen3_next",
  },
  {
    name: "architectures/qwen3.yaml",
    dialects: {
      ort: 0.000007,
      onnx: 0.000007,
      portable: 0.000007,
      scan: 0.000007,
    },
    transformersJs: "qwen3",
  },
  {
    name: "architectures/recurrent-gemma.yaml",
    dialects: {
      ort: 0.00002,
      onnx: 0.00002,
      portable: 0.00002,
      scan: 0.00002,
    },
    transformersJs: "qwen3_next",
  },
  {
    name: "architectures/retnet.yaml",
    dialects: {
      ort: 0.000002,
      onnx: 0.000002,
      portable: 0.000002,
      scan: 0.000002,
    },
    transformersJs: null,
  },
  {
    name: "architectures/rwkv.yaml",
    dialects: {
      ort: "wkv in layers.0.mixer can't be written in ONNX (dialect ort)",
      onnx: "wkv in layers.0.mixer can't be written in ONNX (dialect onnx)",
      portable: "wkv in layers.0.mixer can't be written in ONNX (dialect portable)",
      scan: "wkv in layers.0.mixer can't be written in ONNX (dialect scan)",
    },
    transformersJs: null,
  },
  {
    name: "architectures/s4d.yaml",
    dialects: {
      ort: "diagonal_scan in layers.0.mixer can't be written in ONNX (dialect ort)",
      onnx: "diagonal_scan in layers.0.mixer can't be written in ONNX (dialect onnx)",
      portable: "diagonal_scan in layers.0.mixer can't be written in ONNX (dialect portable)",
      scan: "diagonal_scan in layers.0.mixer can't be written in ONNX (dialect scan)",
    },
    transformersJs: null,
  },
  {
    name: "architectures/samba.yaml",
    dialects: {
      ort: 8e-7,
      onnx: 8e-7,
      portable: 8e-7,
      scan: 8e-7,
    },
    transformersJs: "granitemoehybrid",
  },
  {
    name: "architectures/transformer.yaml",
    dialects: {
      ort: 0.000002,
      onnx: 0.000002,
      portable: 0.000002,
      scan: 0.000002,
    },
    transformersJs: "llama",
  },
  {
    name: "architectures/zamba.yaml",
    dialects: {
      ort: 0.000001,
      onnx: 0.000001,
      portable: 0.000001,
      scan: 0.000001,
    },
    transformersJs: null,
  },
  {
    name: "architectures/zamba2.yaml",
    dialects: {
      ort: 0.000002,
      onnx: 0.000002,
      portable: 0.000002,
      scan: 0.000002,
    },
    transformersJs: "granitemoehybrid",
  },
];
