// How the WebAssembly runtime launches each op. Views (reshape) need no launch.

import { lower as adamw } from "../../ops/adamw/wasm.ts";
import { lower as attention } from "../../ops/attention/wasm.ts";
import { lower as attentionGradient } from "../../ops/attention-gradient/wasm.ts";
import { lower as causalConv } from "../../ops/causal-conv/wasm.ts";
import { lower as causalConvGradient } from "../../ops/causal-conv-gradient/wasm.ts";
import { lower as concat } from "../../ops/concat/wasm.ts";
import { lower as crossEntropy } from "../../ops/cross-entropy/wasm.ts";
import { lower as crossEntropyGradient } from "../../ops/cross-entropy-gradient/wasm.ts";
import { lower as diagonalScan } from "../../ops/diagonal-scan/wasm.ts";
import { lower as expertMatmul } from "../../ops/expert-matmul/wasm.ts";
import { lower as expertMatmulGradient } from "../../ops/expert-matmul-gradient/wasm.ts";
import { lower as gather } from "../../ops/gather/wasm.ts";
import { lower as gatherGradient } from "../../ops/gather-gradient/wasm.ts";
import { lower as groupRows } from "../../ops/group-rows/wasm.ts";
import { lower as gru } from "../../ops/gru/wasm.ts";
import { lower as gruGradient } from "../../ops/gru-gradient/wasm.ts";
import type { AttributesOf, OpName } from "../../ops/index.ts";
import { lower as layerNorm } from "../../ops/layer-norm/wasm.ts";
import { lower as layerNormGradient } from "../../ops/layer-norm-gradient/wasm.ts";
import { lower as linearAttention } from "../../ops/linear-attention/wasm.ts";
import { lower as linearAttentionGradient } from "../../ops/linear-attention-gradient/wasm.ts";
import { lower as longConvolution } from "../../ops/long-convolution/wasm.ts";
import { lower as longConvolutionGradient } from "../../ops/long-convolution-gradient/wasm.ts";
import { lower as map } from "../../ops/map/wasm.ts";
import { lower as matmul } from "../../ops/matmul/wasm.ts";
import { lower as matmulGradient } from "../../ops/matmul-gradient/wasm.ts";
import { lower as reduce } from "../../ops/reduce/wasm.ts";
import { lower as rgLru } from "../../ops/rg-lru/wasm.ts";
import { lower as rgLruGradient } from "../../ops/rg-lru-gradient/wasm.ts";
import { lower as rmsNorm } from "../../ops/rms-norm/wasm.ts";
import { lower as rmsNormGradient } from "../../ops/rms-norm-gradient/wasm.ts";
import { lower as rope } from "../../ops/rope/wasm.ts";
import { lower as s4dKernel } from "../../ops/s4d-kernel/wasm.ts";
import { lower as s4dKernelGradient } from "../../ops/s4d-kernel-gradient/wasm.ts";
import { lower as selectiveScan } from "../../ops/selective-scan/wasm.ts";
import { lower as selectiveScanGradient } from "../../ops/selective-scan-gradient/wasm.ts";
import { lower as slice } from "../../ops/slice/wasm.ts";
import { lower as sliceGradient } from "../../ops/slice-gradient/wasm.ts";
import { lower as topK } from "../../ops/top-k/wasm.ts";
import { lower as topKGradient } from "../../ops/top-k-gradient/wasm.ts";
import { lower as transpose } from "../../ops/transpose/wasm.ts";
import { lower as wkv } from "../../ops/wkv/wasm.ts";
import { lower as wkvGradient } from "../../ops/wkv-gradient/wasm.ts";
import type { WasmLowering } from "./lowering.ts";

export const lowerings: { readonly [K in Exclude<OpName, "reshape">]: WasmLowering<AttributesOf<K>> } = {
  adamw,
  attention,
  attention_gradient: attentionGradient,
  causal_conv: causalConv,
  causal_conv_gradient: causalConvGradient,
  concat,
  cross_entropy: crossEntropy,
  cross_entropy_gradient: crossEntropyGradient,
  diagonal_scan: diagonalScan,
  expert_matmul: expertMatmul,
  expert_matmul_gradient: expertMatmulGradient,
  gather,
  gather_gradient: gatherGradient,
  group_rows: groupRows,
  gru,
  gru_gradient: gruGradient,
  layer_norm: layerNorm,
  layer_norm_gradient: layerNormGradient,
  linear_attention: linearAttention,
  linear_attention_gradient: linearAttentionGradient,
  long_convolution: longConvolution,
  long_convolution_gradient: longConvolutionGradient,
  map,
  matmul,
  matmul_gradient: matmulGradient,
  reduce,
  rg_lru: rgLru,
  rg_lru_gradient: rgLruGradient,
  rms_norm: rmsNorm,
  rms_norm_gradient: rmsNormGradient,
  rope,
  s4d_kernel: s4dKernel,
  s4d_kernel_gradient: s4dKernelGradient,
  selective_scan: selectiveScan,
  selective_scan_gradient: selectiveScanGradient,
  slice,
  slice_gradient: sliceGradient,
  top_k: topK,
  top_k_gradient: topKGradient,
  transpose,
  wkv,
  wkv_gradient: wkvGradient,
};
