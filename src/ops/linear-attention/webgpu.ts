// How the WebGPU runtime computes linear_attention: token by token where there are few tokens, in chunks otherwise.
import { type Emitter, type GpuLowering, read, spread, write } from "../../runtime/webgpu/lowering.ts";
import { required } from "../types.ts";
import { type AttentionSizes, attentionSizes, decayStrideUniforms, headConstants } from "./gpu-sizes.ts";
import type { LinearAttentionAttributes } from "./op.ts";

type Node = Parameters<GpuLowering<LinearAttentionAttributes>>[0];

export const lower: GpuLowering<LinearAttentionAttributes> = (node, emit) => {
  const sizes = attentionSizes("linear_attention", node);
  if (sizes.batch * sizes.stateHeads * sizes.valueDim * sizes.keyDim === 0) return;
  recurrent(node, sizes, emit);
};

/** Floats of workgroup memory for staged rows, and for sums. */
const STAGED_FLOATS = 2048;
const SUM_FLOATS = 1536;

function recurrent({ inputs, outputs, attributes }: Node, sizes: AttentionSizes, emit: Emitter): void {
  const { batch, time, chunks, stateHeads, keyDim, valueDim, readers, decayRank, delta } = sizes;
  const [q, k, v, decay, beta, s0] = inputs;
  // Threads per column so that each has at most 32 keys in registers; the rest of the workgroup are other columns.
  let lanes = 1;
  while (lanes < 64 && keyDim > 32 * lanes) lanes *= 2;
  let columns = 64;
  while (columns * lanes > 128 || (columns * lanes > 32 && columns >= 2 * valueDim)) columns /= 2;
  const rows = Math.ceil(keyDim / lanes);
  const sums = (readers + (delta ? 1 : 0)) * (lanes > 1 ? lanes * columns : 0);
  const staged = keyDim * (readers + 1 + (decayRank === 2 ? 1 : 0));
  let tokens = time === 1 ? 1 : 16;
  while (tokens > 1 && tokens * Math.max(sums / SUM_FLOATS, staged / STAGED_FLOATS) > 1) tokens /= 2;
  const groups = batch * stateHeads * Math.ceil(valueDim / columns);
  emit.dispatch({
    kernel: "linear_attention/recurrent",
    constants: {
      ...headConstants(sizes),
      SCALE: { kind: "float", value: attributes.scale },
      ...{ LANES: lanes, COLUMNS: columns, ROWS: rows, WIDTH: 1, TOKENS: tokens, STAGED: staged <= STAGED_FLOATS },
    },
    uniforms: { time, chunks, groups, ...decayStrideUniforms(decay) },
    bindings: {
      ...{ q: read(q), k: read(k), v: read(v), decay: read(decay), beta: read(beta), s0: read(s0) },
      y: write(required(outputs[0], "output of linear_attention")),
      final: write(outputs[1]),
      starts: chunks === 0 ? undefined : write(outputs[2]),
    },
    workgroups: spread(groups),
    reason: time === 1 ? "one token" : "token by token",
  });
}
