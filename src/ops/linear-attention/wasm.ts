// How the WebAssembly runtime launches linear_attention: one kernel per family of rules, another for a single token.
import type { WasmLowering, WasmNode, Word } from "../../runtime/wasm/lowering.ts";
import { float } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import { decayStrides } from "./decay.ts";
import { hasBeta, type LinearAttentionAttributes } from "./op.ts";
import { CHUNK, type LinearAttentionShape, linearAttentionShape, readersOf } from "./shapes.ts";

export const roundUp = (n: number, multiple: number): number => Math.ceil(n / multiple) * multiple;

export const lower: WasmLowering<LinearAttentionAttributes> = (node, emit) => {
  const { q, k, v } = tensors(node);
  const shape = linearAttentionShape("linear_attention", q, k, v);
  const [batch = 0, time = 0] = q.shape;
  const { keyDim, valueDim, stateHeads } = shape;
  const [, , , decay, beta, s0] = node.inputs;
  const delta = hasBeta(node.attributes.rule);
  const step = time === 1 && readersOf(shape) === 1;
  const kernel = step ? "linear_attention_step" : delta ? "linear_attention_chunked" : "linear_attention";
  const perThread = roundUp(
    4 * (step ? stepScratch(keyDim) : delta ? chunkedScratch(shape, delta) : scratch(keyDim)),
    64,
  );
  const final = node.outputs[1] ?? emit.scratch(4 * batch * stateHeads * keyDim * valueDim);
  const parts = columnParts(batch * stateHeads, valueDim, emit.threads);
  emit.command(kernel, [
    q,
    k,
    v,
    decay,
    beta,
    s0,
    required(node.outputs[0], "output of linear_attention"),
    final,
    node.outputs[2],
    emit.scratch(perThread * emit.threads),
    ...sizeWords(node),
    float(node.attributes.scale),
    perThread,
    delta ? 1 : 0,
    parts,
  ]);
};

/** Into how many parts to split the columns of a head so that `threads` get equal shares, or nearly. */
function columnParts(heads: number, valueDim: number, threads: number): number {
  if (heads % threads === 0 || heads >= 8 * threads) return 1;
  return Math.min(threads, Math.ceil(valueDim / 16));
}

/** The required inputs. */
export function tensors({ inputs }: WasmNode<LinearAttentionAttributes>) {
  return { q: required(inputs[0], "q"), k: required(inputs[1], "k"), v: required(inputs[2], "v") };
}

/** B, T, Hq, Hk, Hv, dk, dv and the strides of decay over batch, time, heads, keys, in bytes. */
export function sizeWords(node: WasmNode<LinearAttentionAttributes>): Word[] {
  const { q, k, v } = tensors(node);
  const { queryHeads, keyHeads, stateHeads, keyDim, valueDim } = linearAttentionShape("linear_attention", q, k, v);
  const [batch = 0, time = 0] = q.shape;
  const decay = node.inputs[3];
  const strides = decay === undefined ? { batch: 0, time: 0, head: 0, key: 0 } : decayStrides(decay);
  return [
    ...[batch, time, queryHeads, keyHeads, stateHeads, keyDim, valueDim],
    ...[strides.batch, strides.time, strides.head, strides.key].map((stride) => 4 * stride),
  ];
}

/** Floats of scratch per thread of the kernel linear_attention, as laid out in its head. */
function scratch(keyDim: number): number {
  const rows = roundUp(keyDim, 4);
  const segments = CHUNK * 8 + 16;
  return rows * CHUNK * 2 + rows * 16 + CHUNK * 16 + (CHUNK + 4) * 4 + (rows / 4) * segments;
}

/** The same of linear_attention_step: decays, and three rows of a block of columns. */
const stepScratch = (keyDim: number): number => keyDim + 4 + 3 * 32;

/** The same of linear_attention_chunked: its segment, one state and one output. */
function chunkedScratch(shape: LinearAttentionShape, delta: boolean): number {
  const { keys, valueRow } = paddedSizes(shape);
  return segmentFloats(shape, delta) + (keys + SEGMENT_TOKENS) * valueRow;
}

/** Most tokens of a segment of the chunked form. */
export const SEGMENT_TOKENS = 32;
export const TOKEN_ROW = SEGMENT_TOKENS + 16;

/** Sizes padded as in kernels/common/linear_attention_segment: keys, and floats per row of keys and of values. */
export function paddedSizes({ keyDim, valueDim }: LinearAttentionShape) {
  return {
    keys: roundUp(keyDim, 8),
    values: roundUp(valueDim, 8),
    keyRow: roundUp(keyDim, 8) + 16,
    valueRow: roundUp(valueDim, 8) + 16,
  };
}

/** Floats of the matrices of a segment, as laid out in kernels/common/linear_attention_segment. */
export function segmentFloats(shape: LinearAttentionShape, delta: boolean): number {
  const { keys, keyRow, valueRow } = paddedSizes(shape);
  const blocks = readersOf(shape) + (delta ? 1 : 0);
  const tokenRows = (blocks + 3) * keyRow + 3 * valueRow + blocks * TOKEN_ROW;
  return SEGMENT_TOKENS * tokenRows + keys * TOKEN_ROW + 2 * keyRow + 2 * TOKEN_ROW;
}
