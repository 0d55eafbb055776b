// Op → how it is written in ONNX. A missing row does not compile; `undefined` is an op that has no form in ONNX yet.
import type { Node } from "../../graph/types.ts";
import { nodeName } from "../../graph/types.ts";
import { toOnnx as attention } from "../../ops/attention/onnx.ts";
import { toOnnx as causalConv } from "../../ops/causal-conv/onnx.ts";
import { toOnnx as concat } from "../../ops/concat/onnx.ts";
import { toOnnx as crossEntropy } from "../../ops/cross-entropy/onnx.ts";
import { toOnnx as diagonalScan } from "../../ops/diagonal-scan/onnx.ts";
import { toOnnx as expertMatmul } from "../../ops/expert-matmul/onnx.ts";
import { toOnnx as gather } from "../../ops/gather/onnx.ts";
import { toOnnx as groupRows } from "../../ops/group-rows/onnx.ts";
import { toOnnx as gru } from "../../ops/gru/onnx.ts";
import type { AttributesOf, DifferentiableOpName } from "../../ops/index.ts";
import { toOnnx as layerNorm } from "../../ops/layer-norm/onnx.ts";
import { toOnnx as linearAttention } from "../../ops/linear-attention/onnx.ts";
import { toOnnx as longConvolution } from "../../ops/long-convolution/onnx.ts";
import { toOnnx as map } from "../../ops/map/onnx.ts";
import { toOnnx as matmul } from "../../ops/matmul/onnx.ts";
import { toOnnx as reduce } from "../../ops/reduce/onnx.ts";
import { toOnnx as reshape } from "../../ops/reshape/onnx.ts";
import { toOnnx as rgLru } from "../../ops/rg-lru/onnx.ts";
import { toOnnx as rmsNorm } from "../../ops/rms-norm/onnx.ts";
import { toOnnx as rope } from "../../ops/rope/onnx.ts";
import { toOnnx as s4dKernel } from "../../ops/s4d-kernel/onnx.ts";
import { toOnnx as selectiveScan } from "../../ops/selective-scan/onnx.ts";
import { toOnnx as slice } from "../../ops/slice/onnx.ts";
import { toOnnx as topK } from "../../ops/top-k/onnx.ts";
import { toOnnx as transpose } from "../../ops/transpose/onnx.ts";
import { toOnnx as wkv } from "../../ops/wkv/onnx.ts";
import { OnnxError } from "./error.ts";
import type { Dialect, OnnxForms, OnnxLowering } from "./lowering.ts";

type Table = { readonly [K in DifferentiableOpName]: OnnxForms<AttributesOf<K>> | undefined };

const table: Table = {
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

const forms = table as Readonly<Record<string, OnnxForms<unknown> | undefined>>;

/** How a node is written in a dialect. @throws OnnxError where it can't be. */
export function loweringOf(node: Node, dialect: Dialect): OnnxLowering<unknown> {
  const form = forms[node.op.name];
  const lowering = typeof form === "object" ? (form[dialect] ?? form.portable) : form;
  if (lowering === undefined) throw new OnnxError(`${nodeName(node)} can't be written in ONNX (dialect ${dialect})`);
  return lowering;
}
