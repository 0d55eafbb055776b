// How the WebGPU runtime dispatches each op. Views (reshape) need no dispatch.

import { lower as adamw } from "../../ops/adamw/webgpu.ts";
import { lower as attention } from "../../ops/attention/webgpu.ts";
import { lower as attention_gradient } from "../../ops/attention-gradient/webgpu.ts";
import { lower as causal_conv } from "../../ops/causal-conv/webgpu.ts";
import { lower as causal_conv_gradient } from "../../ops/causal-conv-gradient/webgpu.ts";
import { lower as concat } from "../../ops/concat/webgpu.ts";
import { lower as cross_entropy } from "../../ops/cross-entropy/webgpu.ts";
import { lower as cross_entropy_gradient } from "../../ops/cross-entropy-gradient/webgpu.ts";
import { lower as diagonal_scan } from "../../ops/diagonal-scan/webgpu.ts";
import { lower as expert_matmul } from "../../ops/expert-matmul/webgpu.ts";
import { lower as expert_matmul_gradient } from "../../ops/expert-matmul-gradient/webgpu.ts";
import { lower as gather } from "../../ops/gather/webgpu.ts";
import { lower as gather_gradient } from "../../ops/gather-gradient/webgpu.ts";
import { lower as group_rows } from "../../ops/group-rows/webgpu.ts";
import { lower as gru } from "../../ops/gru/webgpu.ts";
import { lower as gru_gradient } from "../../ops/gru-gradient/webgpu.ts";
import type { AttributesOf, OpName } from "../../ops/index.ts";
import { lower as layer_norm } from "../../ops/layer-norm/webgpu.ts";
import { lower as layer_norm_gradient } from "../../ops/layer-norm-gradient/webgpu.ts";
import { lower as linear_attention } from "../../ops/linear-attention/webgpu.ts";
import { lower as linear_attention_gradient } from "../../ops/linear-attention-gradient/webgpu.ts";
import { lower as long_convolution } from "../../ops/long-convolution/webgpu.ts";
import { lower as long_convolution_gradient } from "../../ops/long-convolution-gradient/webgpu.ts";
import { lower as map } from "../../ops/map/webgpu.ts";
import { lower as matmul } from "../../ops/matmul/webgpu.ts";
import { lower as matmulGradient } from "../../ops/matmul-gradient/webgpu.ts";
import { lower as reduce } from "../../ops/reduce/webgpu.ts";
import { lower as rg_lru } from "../../ops/rg-lru/webgpu.ts";
import { lower as rg_lru_gradient } from "../../ops/rg-lru-gradient/webgpu.ts";
import { lower as rms_norm } from "../../ops/rms-norm/webgpu.ts";
import { lower as rms_norm_gradient } from "../../ops/rms-norm-gradient/webgpu.ts";
import { lower as rope } from "../../ops/rope/webgpu.ts";
import { lower as s4d_kernel } from "../../ops/s4d-kernel/webgpu.ts";
import { lower as s4d_kernel_gradient } from "../../ops/s4d-kernel-gradient/webgpu.ts";
import { lower as selective_scan } from "../../ops/selective-scan/webgpu.ts";
import { lower as selective_scan_gradient } from "../../ops/selective-scan-gradient/webgpu.ts";
import { lower as slice } from "../../ops/slice/webgpu.ts";
import { lower as slice_gradient } from "../../ops/slice-gradient/webgpu.ts";
import { lower as top_k } from "../../ops/top-k/webgpu.ts";
import { lower as top_k_gradient } from "../../ops/top-k-gradient/webgpu.ts";
import { lower as transpose } from "../../ops/transpose/webgpu.ts";
import { lower as wkv } from "../../ops/wkv/webgpu.ts";
import { lower as wkv_gradient } from "../../ops/wkv-gradient/webgpu.ts";
import type { GpuLowering } from "./lowering.ts";

export const lowerings: { readonly [K in Exclude<OpName, "reshape">]: GpuLowering<AttributesOf<K>> } = {
  adamw,
  attention,
  attention_gradient,
  causal_conv,
  causal_conv_gradient,
  concat,
  cross_entropy,
  cross_entropy_gradient,
  diagonal_scan,
  expert_matmul,
  expert_matmul_gradient,
  gather,
  gather_gradient,
  group_rows,
  gru,
  gru_gradient,
  layer_norm,
  layer_norm_gradient,
  linear_attention,
  linear_attention_gradient,
  long_convolution,
  long_convolution_gradient,
  map,
  matmul,
  matmul_gradient: matmulGradient,
  reduce,
  rg_lru,
  rg_lru_gradient,
  rms_norm,
  rms_norm_gradient,
  rope,
  s4d_kernel,
  s4d_kernel_gradient,
  selective_scan,
  selective_scan_gradient,
  slice,
  slice_gradient,
  top_k,
  top_k_gradient,
  transpose,
  wkv,
  wkv_gradient,
};
