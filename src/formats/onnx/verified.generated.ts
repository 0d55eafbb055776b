// Written by scripts/generate-onnx-table.mjs from exports that onnxruntime ran; do not edit.

export interface VerifiedModel {
  /** A checkpoint of test/fixtures/hf or a file of architectures/. */
  readonly name: string;
  /** By dialect, with f32 weights: the error as `tolerances` measures it, or why it can't be exported. */
  readonly dialects: Readonly<Record<string, number | string>>;
  /** The same in the dialect ort with narrower weights, in symmetric blocks of 16. */
  readonly types: Readonly<Record<string, number | string>>;
  /** model_type under which transformers.js runs it; null where it can't. */
  readonly transformersJs: string | null;
}

export const verified: readonly VerifiedModel[] = [
  {
    name: "bamba",
    dialects: {
      ort: 6e-7,
      onnx: 5e-7,
      portable: 5e-7,
      scan: 5e-7,
    },
    types: {
      f16: 0.0006,
      int8: 0.01,
      int4: 0.2,
      int4f16: 0.2,
    },
    transformersJs: "granitemoehybrid",
  },
  {
    name: "falcon_h1",
    dialects: {
      ort: 3e-7,
      onnx: 2e-7,
      portable: 3e-7,
      scan: 2e-7,
    },
    types: {
      f16: 0.0003,
      int8: 0.008,
      int4: 0.1,
      int4f16: 0.1,
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
    types: {
      f16: 0.0006,
      int8: 0.01,
      int4: 0.2,
      int4f16: 0.2,
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
    types: {
      f16: 0.001,
      int8: 0.03,
      int4: 0.5,
      int4f16: 0.5,
    },
    transformersJs: null,
  },
  {
    name: "gemma2",
    dialects: {
      ort: 7e-7,
      onnx: 6e-7,
      portable: 6e-7,
      scan: 6e-7,
    },
    types: {
      f16: 0.0007,
      int8: 0.02,
      int4: 0.3,
      int4f16: 0.3,
    },
    transformersJs: "gemma2",
  },
  {
    name: "gemma3",
    dialects: {
      ort: 0.000001,
      onnx: 8e-7,
      portable: 0.000002,
      scan: 0.000002,
    },
    types: {
      f16: 0.001,
      int8: 0.02,
      int4: 0.4,
      int4f16: 0.4,
    },
    transformersJs: "gemma3_text",
  },
  {
    name: "gpt2",
    dialects: {
      ort: 5e-7,
      onnx: 5e-7,
      portable: 5e-7,
      scan: 5e-7,
    },
    types: {
      f16: 0.0005,
      int8: 0.01,
      int4: 0.2,
      int4f16: 0.2,
    },
    transformersJs: "gpt2",
  },
  {
    name: "granitemoehybrid",
    dialects: {
      ort: 4e-7,
      onnx: 4e-7,
      portable: 3e-7,
      scan: 3e-7,
    },
    types: {
      f16: 0.0004,
      int8: 0.01,
      int4: 0.1,
      int4f16: 0.1,
    },
    transformersJs: "granitemoehybrid",
  },
  {
    name: "granitemoehybrid_dense",
    dialects: {
      ort: 5e-7,
      onnx: 5e-7,
      portable: 4e-7,
      scan: 5e-7,
    },
    types: {
      f16: 0.0006,
      int8: 0.01,
      int4: 0.2,
      int4f16: 0.2,
    },
    transformersJs: "granitemoehybrid",
  },
  {
    name: "jamba",
    dialects: {
      ort: 6e-7,
      onnx: 6e-7,
      portable: 5e-7,
      scan: 6e-7,
    },
    types: {
      f16: 0.0007,
      int8: 0.02,
      int4: 0.3,
      int4f16: 0.3,
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
    types: {
      f16: 0.001,
      int8: 0.07,
      int4: 0.5,
      int4f16: 0.5,
    },
    transformersJs: "qwen3_next",
  },
  {
    name: "lfm2",
    dialects: {
      ort: 7e-7,
      onnx: 6e-7,
      portable: 8e-7,
      scan: 8e-7,
    },
    types: {
      f16: 0.001,
      int8: 0.03,
      int4: 0.4,
      int4f16: 0.4,
    },
    transformersJs: "lfm2",
  },
  {
    name: "lfm2_moe",
    dialects: {
      ort: 8e-7,
      onnx: 8e-7,
      portable: 0.000001,
      scan: 0.000001,
    },
    types: {
      f16: 0.001,
      int8: 0.06,
      int4: 0.4,
      int4f16: 0.4,
    },
    transformersJs: "lfm2_moe",
  },
  {
    name: "llama",
    dialects: {
      ort: 3e-7,
      onnx: 3e-7,
      portable: 3e-7,
      scan: 3e-7,
    },
    types: {
      f16: 0.0004,
      int8: 0.009,
      int4: 0.1,
      int4f16: 0.1,
    },
    transformersJs: "llama",
  },
  {
    name: "mamba",
    dialects: {
      ort: 0.000004,
      onnx: 0.000003,
      portable: 0.000004,
      scan: 0.000003,
    },
    types: {
      f16: 0.002,
      int8: 0.04,
      int4: 0.5,
      int4f16: 0.5,
    },
    transformersJs: null,
  },
  {
    name: "mamba2",
    dialects: {
      ort: 5e-7,
      onnx: 5e-7,
      portable: 6e-7,
      scan: 5e-7,
    },
    types: {
      f16: 0.0005,
      int8: 0.01,
      int4: 0.2,
      int4f16: 0.2,
    },
    transformersJs: null,
  },
  {
    name: "minimax",
    dialects: {
      ort: 3e-7,
      onnx: 2e-7,
      portable: 3e-7,
      scan: 4e-7,
    },
    types: {
      f16: 0.0003,
      int8: 0.007,
      int4: 0.1,
      int4f16: 0.1,
    },
    transformersJs: "qwen3_next",
  },
  {
    name: "nemotron_h",
    dialects: {
      ort: 6e-7,
      onnx: 6e-7,
      portable: 5e-7,
      scan: 6e-7,
    },
    types: {
      f16: 0.0006,
      int8: 0.01,
      int4: 0.2,
      int4f16: 0.2,
    },
    transformersJs: "nemotron_h",
  },
  {
    name: "olmo_hybrid",
    dialects: {
      ort: 0.000002,
      onnx: 0.000001,
      portable: 0.000002,
      scan: 0.000002,
    },
    types: {
      f16: 0.001,
      int8: 0.04,
      int4: 0.5,
      int4f16: 0.5,
    },
    transformersJs: "olmo_hybrid",
  },
  {
    name: "qwen3",
    dialects: {
      ort: 4e-7,
      onnx: 3e-7,
      portable: 3e-7,
      scan: 3e-7,
    },
    types: {
      f16: 0.0004,
      int8: 0.009,
      int4: 0.1,
      int4f16: 0.1,
    },
    transformersJs: "qwen3",
  },
  {
    name: "qwen3_5_text",
    dialects: {
      ort: 0.000003,
      onnx: 0.000008,
      portable: 0.000008,
      scan: 0.000007,
    },
    types: {
      f16: 0.0009,
      int8: 0.03,
      int4: 0.3,
      int4f16: 0.3,
    },
    transformersJs: "qwen3_next",
  },
  {
    name: "qwen3_next",
    dialects: {
      ort: 0.000001,
      onnx: 0.000002,
      portable: 0.000002,
      scan: 0.000002,
    },
    types: {
      f16: 0.001,
      int8: 0.03,
      int4: 0.3,
      int4f16: 0.3,
    },
    transformersJs: "qwen3_next",
  },
  {
    name: "recurrent_gemma",
    dialects: {
      ort: 4e-7,
      onnx: 5e-7,
      portable: 4e-7,
      scan: 5e-7,
    },
    types: {
      f16: 0.0007,
      int8: 0.01,
      int4: 0.2,
      int4f16: 0.2,
    },
    transformersJs: "qwen3_next",
  },
  {
    name: "rwkv",
    dialects: {
      ort: 3e-7,
      onnx: 3e-7,
      portable: 3e-7,
      scan: 4e-7,
    },
    types: {
      f16: 0.0003,
      int8: 0.008,
      int4: 0.1,
      int4f16: 0.1,
    },
    transformersJs: null,
  },
  {
    name: "zamba",
    dialects: {
      ort: 0.000003,
      onnx: 0.000004,
      portable: 0.000003,
      scan: 0.000003,
    },
    types: {
      f16: 0.003,
      int8: 0.02,
      int4: 0.3,
      int4f16: 0.3,
    },
    transformersJs: null,
  },
  {
    name: "zamba2",
    dialects: {
      ort: 0.00001,
      onnx: 0.000009,
      portable: 0.000008,
      scan: 0.000008,
    },
    types: {
      f16: 0.004,
      int8: 0.04,
      int4: 0.5,
      int4f16: 0.5,
    },
    transformersJs: "granitemoehybrid",
  },
  {
    name: "architectures/bamba.yaml",
    dialects: {
      ort: 0.000002,
      onnx: 0.000001,
      portable: 0.000001,
      scan: 0.000002,
    },
    types: {
      f16: 0.001,
      int8: 0.03,
      int4: 0.4,
      int4f16: 0.4,
    },
    transformersJs: "granitemoehybrid",
  },
  {
    name: "architectures/falcon-h1.yaml",
    dialects: {
      ort: 0.000001,
      onnx: 0.000001,
      portable: 0.000002,
      scan: 0.000001,
    },
    types: {
      f16: 0.001,
      int8: 0.02,
      int4: 0.4,
      int4f16: 0.4,
    },
    transformersJs: "falcon_h1",
  },
  {
    name: "architectures/falcon-mamba.yaml",
    dialects: {
      ort: 8e-7,
      onnx: 7e-7,
      portable: 8e-7,
      scan: 8e-7,
    },
    types: {
      f16: 0.001,
      int8: 0.02,
      int4: 0.3,
      int4f16: 0.3,
    },
    transformersJs: null,
  },
  {
    name: "architectures/gated-delta.yaml",
    dialects: {
      ort: 0.000002,
      onnx: 0.000002,
      portable: 0.000003,
      scan: 0.000004,
    },
    types: {
      f16: 0.002,
      int8: 0.05,
      int4: 0.6,
      int4f16: 0.6,
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
    types: {
      f16: 0.0009,
      int8: 0.02,
      int4: 0.3,
      int4f16: 0.3,
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
    types: {
      f16: 0.001,
      int8: 0.02,
      int4: 0.4,
      int4f16: 0.4,
    },
    transformersJs: "gemma3_text",
  },
  {
    name: "architectures/gpt2.yaml",
    dialects: {
      ort: 8e-7,
      onnx: 9e-7,
      portable: 9e-7,
      scan: 9e-7,
    },
    types: {
      f16: 0.0009,
      int8: 0.02,
      int4: 0.3,
      int4f16: 0.3,
    },
    transformersJs: "gpt2",
  },
  {
    name: "architectures/granite-hybrid.yaml",
    dialects: {
      ort: 2e-7,
      onnx: 2e-7,
      portable: 2e-7,
      scan: 2e-7,
    },
    types: {
      f16: 0.001,
      int8: 0.008,
      int4: 0.1,
      int4f16: 0.1,
    },
    transformersJs: "granitemoehybrid",
  },
  {
    name: "architectures/gru.yaml",
    dialects: {
      ort: 6e-7,
      onnx: 6e-7,
      portable: 7e-7,
      scan: 7e-7,
    },
    types: {
      f16: 0.0008,
      int8: 0.02,
      int4: 0.3,
      int4f16: 0.3,
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
    types: {
      f16: "hymba reads 5 learned tokens before the first one, which can't be written in ONNX yet",
      int8: "hymba reads 5 learned tokens before the first one, which can't be written in ONNX yet",
      int4: "hymba reads 5 learned tokens before the first one, which can't be written in ONNX yet",
      int4f16: "hymba reads 5 learned tokens before the first one, which can't be written in ONNX yet",
    },
    transformersJs: null,
  },
  {
    name: "architectures/jamba.yaml",
    dialects: {
      ort: 0.000003,
      onnx: 0.000004,
      portable: 0.000004,
      scan: 0.000004,
    },
    types: {
      f16: 0.003,
      int8: 0.08,
      int4: 0.8,
      int4f16: 0.8,
    },
    transformersJs: "granitemoehybrid",
  },
  {
    name: "architectures/kimi-linear.yaml",
    dialects: {
      ort: 0.000003,
      onnx: 0.000002,
      portable: 0.000003,
      scan: 0.000002,
    },
    types: {
      f16: 0.002,
      int8: 0.04,
      int4: 0.5,
      int4f16: 0.5,
    },
    transformersJs: "qwen3_next",
  },
  {
    name: "architectures/lfm2.yaml",
    dialects: {
      ort: 0.000002,
      onnx: 0.000002,
      portable: 0.000003,
      scan: 0.000003,
    },
    types: {
      f16: 0.002,
      int8: 0.04,
      int4: 0.5,
      int4f16: 0.5,
    },
    transformersJs: "lfm2",
  },
  {
    name: "architectures/lightning.yaml",
    dialects: {
      ort: 0.000002,
      onnx: 0.000001,
      portable: 0.000001,
      scan: 0.000001,
    },
    types: {
      f16: 0.001,
      int8: 0.03,
      int4: 0.4,
      int4f16: 0.4,
    },
    transformersJs: "qwen3_next",
  },
  {
    name: "architectures/mamba.yaml",
    dialects: {
      ort: 9e-7,
      onnx: 9e-7,
      portable: 8e-7,
      scan: 9e-7,
    },
    types: {
      f16: 0.001,
      int8: 0.02,
      int4: 0.4,
      int4f16: 0.4,
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
    types: {
      f16: 0.001,
      int8: 0.03,
      int4: 0.4,
      int4f16: 0.4,
    },
    transformersJs: null,
  },
  {
    name: "architectures/minimax.yaml",
    dialects: {
      ort: 5e-7,
      onnx: 5e-7,
      portable: 4e-7,
      scan: 4e-7,
    },
    types: {
      f16: 0.0003,
      int8: 0.007,
      int4: 0.1,
      int4f16: 0.1,
    },
    transformersJs: "qwen3_next",
  },
  {
    name: "architectures/mixtral.yaml",
    dialects: {
      ort: 0.000005,
      onnx: 0.000005,
      portable: 0.000005,
      scan: 0.000005,
    },
    types: {
      f16: 0.002,
      int8: 0.3,
      int4: 0.7,
      int4f16: 0.7,
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
    types: {
      f16: 0.001,
      int8: 0.03,
      int4: 0.3,
      int4f16: 0.3,
    },
    transformersJs: "nemotron_h",
  },
  {
    name: "architectures/nemotron-h.yaml",
    dialects: {
      ort: 0.000002,
      onnx: 0.000001,
      portable: 0.000002,
      scan: 0.000001,
    },
    types: {
      f16: 0.001,
      int8: 0.03,
      int4: 0.4,
      int4f16: 0.4,
    },
    transformersJs: "nemotron_h",
  },
  {
    name: "architectures/olmo-hybrid.yaml",
    dialects: {
      ort: 0.00002,
      onnx: 0.00001,
      portable: 0.00002,
      scan: 0.00002,
    },
    types: {
      f16: 0.01,
      int8: 0.2,
      int4: 1,
      int4f16: 1,
    },
    transformersJs: "olmo_hybrid",
  },
  {
    name: "architectures/quickstart.yaml",
    dialects: {
      ort: 0.000002,
      onnx: 0.000003,
      portable: 0.000003,
      scan: 0.000003,
    },
    types: {
      f16: 0.001,
      int8: 0.03,
      int4: 0.4,
      int4f16: 0.4,
    },
    transformersJs: "granitemoehybrid",
  },
  {
    name: "architectures/qwen3-moe.yaml",
    dialects: {
      ort: 0.000005,
      onnx: 0.000005,
      portable: 0.000007,
      scan: 0.000007,
    },
    types: {
      f16: 0.004,
      int8: 0.1,
      int4: 0.7,
      int4f16: 0.7,
    },
    transformersJs: "llama",
  },
  {
    name: "architectures/qwen3-next.yaml",
    dialects: {
      ort: 0.000002,
      onnx: 0.000002,
      portable: 0.000003,
      scan: 0.000004,
    },
    types: {
      f16: 0.007,
      int8: 0.05,
      int4: 0.6,
      int4f16: 0.6,
    },
    transformersJs: "qwen3_next",
  },
  {
    name: "architectures/qwen3.yaml",
    dialects: {
      ort: 0.000009,
      onnx: 0.00001,
      portable: 0.000008,
      scan: 0.000008,
    },
    types: {
      f16: 0.003,
      int8: 0.07,
      int4: 0.7,
      int4f16: 0.7,
    },
    transformersJs: "qwen3",
  },
  {
    name: "architectures/recurrent-gemma.yaml",
    dialects: {
      ort: 4e-7,
      onnx: 2e-7,
      portable: 3e-7,
      scan: 3e-7,
    },
    types: {
      f16: 0.0004,
      int8: 0.006,
      int4: 0.1,
      int4f16: 0.1,
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
    types: {
      f16: 0.001,
      int8: 0.03,
      int4: 0.5,
      int4f16: 0.5,
    },
    transformersJs: null,
  },
  {
    name: "architectures/rwkv.yaml",
    dialects: {
      ort: 6e-7,
      onnx: 6e-7,
      portable: 7e-7,
      scan: 5e-7,
    },
    types: {
      f16: 0.0005,
      int8: 0.01,
      int4: 0.2,
      int4f16: 0.2,
    },
    transformersJs: null,
  },
  {
    name: "architectures/s4d.yaml",
    dialects: {
      ort: 0.000002,
      onnx: 0.000002,
      portable: 0.000002,
      scan: 0.000002,
    },
    types: {
      f16: 0.0007,
      int8: 0.01,
      int4: 0.2,
      int4f16: 0.2,
    },
    transformersJs: null,
  },
  {
    name: "architectures/samba.yaml",
    dialects: {
      ort: 8e-7,
      onnx: 8e-7,
      portable: 0.000001,
      scan: 0.000001,
    },
    types: {
      f16: 0.001,
      int8: 0.02,
      int4: 0.4,
      int4f16: 0.4,
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
    types: {
      f16: 0.002,
      int8: 0.04,
      int4: 0.5,
      int4f16: 0.5,
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
    types: {
      f16: 0.001,
      int8: 0.03,
      int4: 0.4,
      int4f16: 0.4,
    },
    transformersJs: null,
  },
  {
    name: "architectures/zamba2.yaml",
    dialects: {
      ort: 0.000001,
      onnx: 0.000002,
      portable: 0.000002,
      scan: 0.000002,
    },
    types: {
      f16: 0.001,
      int8: 0.03,
      int4: 0.5,
      int4f16: 0.5,
    },
    transformersJs: "granitemoehybrid",
  },
];
