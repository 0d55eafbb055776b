// The op set. A missing row in any of the tables over OpName (gradients, references, lowerings) does not compile.
import type { OpDefinition } from "../graph/types.ts";
import { adamwOp } from "./adamw/op.ts";
import { attentionOp } from "./attention/op.ts";
import { attentionGradientOp } from "./attention-gradient/op.ts";
import { causalConvOp } from "./causal-conv/op.ts";
import { causalConvGradientOp } from "./causal-conv-gradient/op.ts";
import { concatOp } from "./concat/op.ts";
import { crossEntropyOp } from "./cross-entropy/op.ts";
import { crossEntropyGradientOp } from "./cross-entropy-gradient/op.ts";
import { diagonalScanOp } from "./diagonal-scan/op.ts";
import { expertMatmulOp } from "./expert-matmul/op.ts";
import { expertMatmulGradientOp } from "./expert-matmul-gradient/op.ts";
import { gatherOp } from "./gather/op.ts";
import { gatherGradientOp } from "./gather-gradient/op.ts";
import { groupRowsOp } from "./group-rows/op.ts";
import { gruOp } from "./gru/op.ts";
import { gruGradientOp } from "./gru-gradient/op.ts";
import { layerNormOp } from "./layer-norm/op.ts";
import { layerNormGradientOp } from "./layer-norm-gradient/op.ts";
import { linearAttentionOp } from "./linear-attention/op.ts";
import { linearAttentionGradientOp } from "./linear-attention-gradient/op.ts";
import { longConvolutionOp } from "./long-convolution/op.ts";
import { longConvolutionGradientOp } from "./long-convolution-gradient/op.ts";
import { mapOp } from "./map/op.ts";
import { matmulOp } from "./matmul/op.ts";
import { matmulGradientOp } from "./matmul-gradient/op.ts";
import { reduceOp } from "./reduce/op.ts";
import { reshapeOp } from "./reshape/op.ts";
import { rgLruOp } from "./rg-lru/op.ts";
import { rgLruGradientOp } from "./rg-lru-gradient/op.ts";
import { rmsNormOp } from "./rms-norm/op.ts";
import { rmsNormGradientOp } from "./rms-norm-gradient/op.ts";
import { ropeOp } from "./rope/op.ts";
import { s4dKernelOp } from "./s4d-kernel/op.ts";
import { s4dKernelGradientOp } from "./s4d-kernel-gradient/op.ts";
import { selectiveScanOp } from "./selective-scan/op.ts";
import { selectiveScanGradientOp } from "./selective-scan-gradient/op.ts";
import { sliceOp } from "./slice/op.ts";
import { sliceGradientOp } from "./slice-gradient/op.ts";
import { topKOp } from "./top-k/op.ts";
import { topKGradientOp } from "./top-k-gradient/op.ts";
import { transposeOp } from "./transpose/op.ts";
import { wkvOp } from "./wkv/op.ts";
import { wkvGradientOp } from "./wkv-gradient/op.ts";

export const ops = {
  adamw: adamwOp,
  attention: attentionOp,
  attention_gradient: attentionGradientOp,
  causal_conv: causalConvOp,
  causal_conv_gradient: causalConvGradientOp,
  concat: concatOp,
  cross_entropy: crossEntropyOp,
  cross_entropy_gradient: crossEntropyGradientOp,
  diagonal_scan: diagonalScanOp,
  expert_matmul: expertMatmulOp,
  expert_matmul_gradient: expertMatmulGradientOp,
  gather: gatherOp,
  gather_gradient: gatherGradientOp,
  group_rows: groupRowsOp,
  gru: gruOp,
  gru_gradient: gruGradientOp,
  layer_norm: layerNormOp,
  layer_norm_gradient: layerNormGradientOp,
  linear_attention: linearAttentionOp,
  linear_attention_gradient: linearAttentionGradientOp,
  long_convolution: longConvolutionOp,
  long_convolution_gradient: longConvolutionGradientOp,
  map: mapOp,
  matmul: matmulOp,
  matmul_gradient: matmulGradientOp,
  reduce: reduceOp,
  reshape: reshapeOp,
  rg_lru: rgLruOp,
  rg_lru_gradient: rgLruGradientOp,
  rms_norm: rmsNormOp,
  rms_norm_gradient: rmsNormGradientOp,
  rope: ropeOp,
  s4d_kernel: s4dKernelOp,
  s4d_kernel_gradient: s4dKernelGradientOp,
  selective_scan: selectiveScanOp,
  selective_scan_gradient: selectiveScanGradientOp,
  slice: sliceOp,
  slice_gradient: sliceGradientOp,
  top_k: topKOp,
  top_k_gradient: topKGradientOp,
  transpose: transposeOp,
  wkv: wkvOp,
  wkv_gradient: wkvGradientOp,
} as const;

export type OpName = keyof typeof ops;

export type AttributesOf<K extends OpName> = (typeof ops)[K] extends OpDefinition<infer A> ? A : never;

/** Ops that a model is made of; the others are only met in a backward pass or an optimiser step. */
export type DifferentiableOpName = Exclude<OpName, `${string}_gradient` | "adamw">;

export function isOpName(name: string): name is OpName {
  return name in ops;
}
