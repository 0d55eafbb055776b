// How the WebAssembly runtime launches linear_attention_gradient: the heads, then the sums over heads that share q or k.
import { float, type WasmLowering, type WasmTensor } from "../../runtime/wasm/lowering.ts";
import { hasBeta, type LinearAttentionAttributes } from "../linear-attention/op.ts";
import {
  CHUNK,
  independentGroups,
  type LinearAttentionShape,
  linearAttentionShape,
  readersOf,
} from "../linear-attention/shapes.ts";
import {
  paddedSizes,
  roundUp,
  SEGMENT_TOKENS,
  segmentFloats,
  sizeWords,
  TOKEN_ROW,
  tensors,
} from "../linear-attention/wasm.ts";

export const lower: WasmLowering<LinearAttentionAttributes> = (node, emit) => {
  const { q, k, v } = tensors(node);
  const shape = linearAttentionShape("linear_attention_gradient", q, k, v);
  const [batch = 0, time = 0] = q.shape;
  const { queryHeads, keyHeads, stateHeads, outputHeads, keyDim } = shape;
  const delta = hasBeta(node.attributes.rule);
  const [dq, dk, dv, ddecay, dbeta, ds0] = node.outputs;

  // Heads that share q or k go to one thread, which adds their dq and dk in place, if that leaves no thread idle.
  const groups = independentGroups(shape);
  const balanced = (batch * groups) % emit.threads === 0 || batch * groups >= 4 * emit.threads;
  const separate = !balanced && stateHeads > groups;
  const apart = (output: WasmTensor | undefined, heads: number, shared: number) =>
    separate && output && heads > shared ? emit.scratch(4 * batch * time * heads * keyDim) : output;
  const dqOfHeads = apart(dq, outputHeads, queryHeads);
  const dkOfHeads = apart(dk, stateHeads, keyHeads);

  const perThread = roundUp(4 * scratch(shape, delta), 64);
  const [, , , decay, beta, starts, dy, dsT] = node.inputs;
  const inputs = [q, k, v, decay, beta, starts, dy, dsT];
  emit.command("linear_attention_gradient", [
    ...inputs,
    ...[dqOfHeads, dkOfHeads, dv, decay && ddecay, beta && dbeta, ds0],
    emit.scratch(perThread * emit.threads),
    ...sizeWords(node),
    float(node.attributes.scale),
    ...[perThread, delta ? 1 : 0, separate ? stateHeads : groups, separate ? 1 : 0],
  ]);
  const sum = (from: typeof dqOfHeads, to: WasmTensor | undefined, heads: number, shared: number) => {
    if (to && from !== to)
      emit.command("linear_attention_sum", [from, to, batch * time * shared, heads / shared, keyDim]);
  };
  sum(dqOfHeads, dq, outputHeads, queryHeads);
  sum(dkOfHeads, dk, stateHeads, keyHeads);
};

/** States that the kernel keeps: at segment starts, and one more. */
const SLOTS = 8 + 1;

/** Floats of scratch per thread, as laid out in kernels/common/linear_attention_backward. */
function scratch(shape: LinearAttentionShape, delta: boolean): number {
  const { keys, values, keyRow, valueRow } = paddedSizes(shape);
  const blocks = readersOf(shape) + (delta ? 1 : 0);
  const tokenRows = (blocks + 1) * valueRow + blocks * TOKEN_ROW + (blocks + 2) * keyRow;
  const states = (1 + SLOTS) * keys * valueRow + 2 * values * keyRow;
  const sums = blocks * TOKEN_ROW + 2 * Math.max(keyRow, TOKEN_ROW) + 2 * TOKEN_ROW + CHUNK + 16;
  return segmentFloats(shape, delta) + SEGMENT_TOKENS * tokenRows + values * TOKEN_ROW + states + sums;
}
