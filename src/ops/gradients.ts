// Every op's reverse-mode rule, and differentiation with them.
import { differentiate as differentiateWith, type GradientLibrary, type Seed } from "../graph/differentiate.ts";
import { GraphError } from "../graph/shape.ts";
import { nodeName, type Tensor } from "../graph/types.ts";
import { gradient as attention } from "./attention/gradient.ts";
import { gradient as causalConv } from "./causal-conv/gradient.ts";
import { gradient as concat } from "./concat/gradient.ts";
import { gradient as crossEntropy } from "./cross-entropy/gradient.ts";
import { gradient as diagonalScan } from "./diagonal-scan/gradient.ts";
import { gradient as expertMatmul } from "./expert-matmul/gradient.ts";
import { gradient as gather } from "./gather/gradient.ts";
import { gradient as groupRows } from "./group-rows/gradient.ts";
import { gradient as gru } from "./gru/gradient.ts";
import type { AttributesOf, DifferentiableOpName } from "./index.ts";
import { gradient as layerNorm } from "./layer-norm/gradient.ts";
import { gradient as linearAttention } from "./linear-attention/gradient.ts";
import { gradient as longConvolution } from "./long-convolution/gradient.ts";
import { gradient as map } from "./map/gradient.ts";
import { add } from "./map/op.ts";
import { gradient as matmul } from "./matmul/gradient.ts";
import { gradient as reduce } from "./reduce/gradient.ts";
import { gradient as reshape } from "./reshape/gradient.ts";
import { gradient as rgLru } from "./rg-lru/gradient.ts";
import { gradient as rmsNorm } from "./rms-norm/gradient.ts";
import { gradient as rope } from "./rope/gradient.ts";
import { gradient as s4dKernel } from "./s4d-kernel/gradient.ts";
import { gradient as selectiveScan } from "./selective-scan/gradient.ts";
import { gradient as slice } from "./slice/gradient.ts";
import { gradient as topK } from "./top-k/gradient.ts";
import { gradient as transpose } from "./transpose/gradient.ts";
import type { GradientRule } from "./types.ts";
import { gradient as wkv } from "./wkv/gradient.ts";

const gradients: { readonly [K in DifferentiableOpName]: GradientRule<AttributesOf<K>> } = {
  attention,
  causal_conv: causalConv,
  concat,
  cross_entropy: crossEntropy,
  diagonal_scan: diagonalScan,
  expert_matmul: expertMatmul,
  gather,
  group_rows: groupRows,
  gru,
  layer_norm: layerNorm,
  linear_attention: linearAttention,
  long_convolution: longConvolution,
  map,
  matmul,
  reduce,
  reshape,
  rg_lru: rgLru,
  rms_norm: rmsNorm,
  rope,
  s4d_kernel: s4dKernel,
  selective_scan: selectiveScan,
  slice,
  top_k: topK,
  transpose,
  wkv,
};

const library: GradientLibrary = {
  rule(node, outputGradients, needs) {
    const rule = (gradients as Readonly<Record<string, GradientRule<unknown>>>)[node.op.name];
    if (rule === undefined) throw new GraphError(`${nodeName(node)} has no gradient`);
    const { inputs, outputs, attributes } = node;
    return rule({ inputs, outputs, attributes, gradients: outputGradients, needs });
  },
  sum: (tensors) => tensors.reduce((total, tensor) => add(total, tensor)),
};

/** Gradients of Σ seeds ⟨tensor, gradient⟩ with respect to each of `wrt`; undefined where there is no dependence. */
export function differentiate(seeds: readonly Seed[], wrt: readonly Tensor[]): (Tensor | undefined)[] {
  return differentiateWith(seeds, wrt, library);
}
