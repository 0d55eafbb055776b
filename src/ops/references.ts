// Every op's reference implementation in float64.
import { GraphError } from "../graph/shape.ts";
import { type Node, nodeName } from "../graph/types.ts";
import { reference as adamw } from "./adamw/reference.ts";
import { reference as attention } from "./attention/reference.ts";
import { reference as attentionGradient } from "./attention-gradient/reference.ts";
import { reference as causalConv } from "./causal-conv/reference.ts";
import { reference as causalConvGradient } from "./causal-conv-gradient/reference.ts";
import { reference as concat } from "./concat/reference.ts";
import { reference as crossEntropy } from "./cross-entropy/reference.ts";
import { reference as crossEntropyGradient } from "./cross-entropy-gradient/reference.ts";
import { reference as diagonalScan } from "./diagonal-scan/reference.ts";
import { reference as expertMatmul } from "./expert-matmul/reference.ts";
import { reference as expertMatmulGradient } from "./expert-matmul-gradient/reference.ts";
import { reference as gather } from "./gather/reference.ts";
import { reference as gatherGradient } from "./gather-gradient/reference.ts";
import { reference as groupRows } from "./group-rows/reference.ts";
import { reference as gru } from "./gru/reference.ts";
import { reference as gruGradient } from "./gru-gradient/reference.ts";
import type { AttributesOf, OpName } from "./index.ts";
import { reference as layerNorm } from "./layer-norm/reference.ts";
import { reference as layerNormGradient } from "./layer-norm-gradient/reference.ts";
import { reference as linearAttention } from "./linear-attention/reference.ts";
import { reference as linearAttentionGradient } from "./linear-attention-gradient/reference.ts";
import { reference as longConvolution } from "./long-convolution/reference.ts";
import { reference as longConvolutionGradient } from "./long-convolution-gradient/reference.ts";
import { reference as map } from "./map/reference.ts";
import { reference as matmul } from "./matmul/reference.ts";
import { reference as matmulGradient } from "./matmul-gradient/reference.ts";
import { reference as reduce } from "./reduce/reference.ts";
import { reference as reshape } from "./reshape/reference.ts";
import { reference as rgLru } from "./rg-lru/reference.ts";
import { reference as rgLruGradient } from "./rg-lru-gradient/reference.ts";
import { reference as rmsNorm } from "./rms-norm/reference.ts";
import { reference as rmsNormGradient } from "./rms-norm-gradient/reference.ts";
import { reference as rope } from "./rope/reference.ts";
import { reference as s4dKernel } from "./s4d-kernel/reference.ts";
import { reference as s4dKernelGradient } from "./s4d-kernel-gradient/reference.ts";
import { reference as selectiveScan } from "./selective-scan/reference.ts";
import { reference as selectiveScanGradient } from "./selective-scan-gradient/reference.ts";
import { reference as slice } from "./slice/reference.ts";
import { reference as sliceGradient } from "./slice-gradient/reference.ts";
import { reference as topK } from "./top-k/reference.ts";
import { reference as topKGradient } from "./top-k-gradient/reference.ts";
import { reference as transpose } from "./transpose/reference.ts";
import type { HostTensor, Reference } from "./types.ts";
import { reference as wkv } from "./wkv/reference.ts";
import { reference as wkvGradient } from "./wkv-gradient/reference.ts";

const references: { readonly [K in OpName]: Reference<AttributesOf<K>> } = {
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
  reshape,
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

/** Computes a node from its definition; `attributes` are bound. */
export function computeReference(
  node: Node,
  inputs: readonly (HostTensor | undefined)[],
  attributes: unknown,
): readonly HostTensor[] {
  const reference = (references as Readonly<Record<string, Reference<unknown>>>)[node.op.name];
  if (reference === undefined) throw new GraphError(`${nodeName(node)} has no reference`);
  return reference(inputs, attributes);
}
