// How the WebGPU runtime computes linear_attention_gradient: in chunks of 32 tokens, from the states that the forward pass
// kept; the pass over chunks runs backwards, everything else for all chunks at once.

import {
  type Bound,
  type Emitter,
  type GpuLowering,
  type GpuTensor,
  read,
  type Scratch,
  spread,
  update,
  write,
} from "../../runtime/webgpu/lowering.ts";
import {
  batchPart,
  columnConstants,
  columnsOf,
  emitFactors,
  emitPrepare,
  emitScan,
  emitSum,
  factorScratch,
  type Pairs,
  pairFloats,
  type Run,
  runPart,
  runSizes,
  runsOf,
  WY_CHUNK,
} from "../linear-attention/gpu-chunks.ts";
import {
  type AttentionSizes,
  attentionSizes,
  decayStrideUniforms,
  headConstants,
  headUniforms,
  scaleUniform,
} from "../linear-attention/gpu-sizes.ts";
import type { LinearAttentionAttributes } from "../linear-attention/op.ts";
import { CHUNK } from "../linear-attention/shapes.ts";

type Node = Parameters<GpuLowering<LinearAttentionAttributes>>[0];

export const lower: GpuLowering<LinearAttentionAttributes> = (node, emit) => {
  const sizes = attentionSizes("linear_attention_gradient", node);
  const { batch, time, stateHeads, keyDim, valueDim, outputHeads } = sizes;
  if (batch * time * stateHeads * keyDim * valueDim === 0) return;
  const state = stateHeads * keyDim * valueDim;
  const perToken = [
    ...[outputHeads * keyDim, outputHeads * valueDim, stateHeads * Math.ceil(keyDim / WY_CHUNK)],
    ...[state / WY_CHUNK, WY_CHUNK * outputHeads],
    ...(sizes.decayRank === 2 ? [stateHeads * keyDim] : []),
  ];
  const [q, k, v, decay, beta, , dy] = node.inputs;
  const runs = runsOf(sizes, perToken, [q, k, v, decay, beta, dy, ...node.outputs.slice(0, 5)], emit.device);
  // From the last tokens to the first: each run goes on from the gradient of the state that the next one began with.
  let handed: Scratch | undefined;
  for (const run of runs.reverse()) {
    const dsT = run.isLast ? batchPart(node.inputs[7], run) : handed;
    handed = run.isFirst ? undefined : emit.scratch(4 * state);
    lowerRun(node, sizes, run, { dsT, ds0: handed ?? batchPart(node.outputs[5], run) }, emit);
  }
};

function lowerRun(
  { inputs, outputs, attributes: { scale } }: Node,
  sizes: AttentionSizes,
  run: Run,
  { dsT, ds0 }: Readonly<Record<"dsT" | "ds0", Bound | undefined>>,
  emit: Emitter,
): void {
  const local = runSizes(sizes, run);
  const { batch, time, parts, stateHeads, outputHeads, queryHeads, keyHeads, keyDim, valueDim, delta, decayRank } =
    local;
  const [q, k, v, decay, beta] = inputs.slice(0, 5).map((tensor): Bound | undefined => runPart(tensor, run));
  const starts = runPart(inputs[5], run, CHUNK);
  const dy = runPart(inputs[6], run);
  const [dq, dk, dvOutput, ddecay, dbeta] = outputs
    .slice(0, 5)
    .map((tensor): Bound | undefined => runPart(tensor, run));
  const decayTensor: GpuTensor | undefined = inputs[3];
  const scratch = (floats: number, wanted = true) => (wanted ? emit.scratch(4 * floats) : undefined);
  const state = stateHeads * keyDim * valueDim;
  const rows = batch * time * stateHeads;
  const wantsDecay = ddecay !== undefined && decayRank > 0;
  const wantsKeys = dq !== undefined || dk !== undefined || wantsDecay;

  const factors = emitFactors(local, 32, { tensor: decayTensor, bound: decay }, factorScratch(local, emit), emit);
  const pairs: Pairs = {
    pairs: scratch(batch * pairFloats(time, outputHeads), dy !== undefined),
    keys: scratch(batch * pairFloats(time, stateHeads), delta),
    inverse: scratch(batch * pairFloats(time, stateHeads), delta),
  };
  emitPrepare(local, { q, k, decay, beta }, decayTensor, pairs, emit);

  // The states between those of the forward pass, and what tokens write; for the linear rules that is v.
  const middles = scratch(batch * Math.floor(parts / 2) * state, parts > 1 && wantsKeys);
  const errors = scratch(rows * valueDim, delta);
  const writes = delta ? scratch(rows * valueDim) : undefined;
  if (delta || middles !== undefined) {
    emitScan(
      local,
      scale,
      2,
      "states and writes again, 64 tokens each",
      {
        ...{ k: read(k), v: read(v), beta: read(beta), s0: read(starts), ...factors },
        ...{ keys: read(pairs.keys), inverse: read(pairs.inverse) },
        ...{ middles: write(middles), errors: update(errors), writes: write(writes) },
      },
      emit,
    );
  }
  const written = writes ?? v;

  const columns = columnsOf(local);
  const columnBlocks = Math.ceil(valueDim / columns);
  const dbetas = scratch(columnBlocks * rows, delta);
  const ends = scratch(batch * parts * state, wantsKeys);
  const dv = dvOutput ?? scratch(rows * valueDim);
  const reverseGroups = batch * stateHeads * columnBlocks;
  const uniforms = { ...headUniforms(local), ...scaleUniform(scale), chunks: parts, rows };
  emit.dispatch({
    kernel: "linear_attention/reverse",
    constants: { ...columnConstants(sizes), FIRST: dy === undefined ? sizes.readers : 0 },
    uniforms: { ...uniforms, groups: reverseGroups, blocks: columnBlocks },
    bindings: {
      ...{ q: read(q), k: read(k), v: undefined, beta: read(beta), ...factors },
      ...{ pairs: read(pairs.pairs), inverse: read(pairs.inverse), errors: read(errors) },
      ...{ dy: read(dy), dfinal: read(dsT) },
      ...{ dv: write(dv), dbetas: write(dbetas), ends: write(ends), ds0: write(ds0) },
    },
    workgroups: spread(reverseGroups),
    reason: "chunks of 32 tokens, last to first",
  });
  if (dbeta !== undefined && dbetas !== undefined) {
    const parted = { size: rows, inner: rows, outer_step: 0, part_step: rows, count: columnBlocks, add: false };
    emitSum(dbetas, dbeta, parted, emit);
  }
  if (!wantsKeys) return;

  const dpairs = scratch(batch * pairFloats(time, outputHeads), dy !== undefined);
  const dkeys = scratch(batch * pairFloats(time, stateHeads), delta);
  const chunkGroups = batch * parts * stateHeads;
  const perHead = wantsDecay && decayRank === 1;
  if (dpairs !== undefined || dkeys !== undefined || perHead) {
    emit.dispatch({
      kernel: "linear_attention/pair_gradient",
      constants: { ...headConstants(sizes), FIRST: dy === undefined ? sizes.readers : 0 },
      uniforms: { ...uniforms, groups: chunkGroups, ...decayStrideUniforms(decayTensor) },
      bindings: {
        ...{ decay: read(decayRank === 1 ? decay : undefined), dy: read(dy), dv: read(delta ? dv : undefined) },
        ...{ writes: read(written), pairs: read(perHead ? pairs.pairs : undefined) },
        ...{ keys: read(perHead ? pairs.keys : undefined), dpairs: write(dpairs), dkeys: write(dkeys) },
        ddecay: write(perHead ? ddecay : undefined),
      },
      workgroups: spread(chunkGroups),
    });
  }
  const keyBlocks = Math.ceil(keyDim / 32);
  const width = keyDim % 4 === 0 ? 4 : 1;
  const factorWidth = decayRank === 2 ? width : 1;
  const sharedQuery = outputHeads > queryHeads;
  const sharedKey = stateHeads > keyHeads;
  const dqOfOutputs = sharedQuery ? scratch(batch * time * outputHeads * keyDim, dq !== undefined) : dq;
  const dkOfHeads = sharedKey ? scratch(rows * keyDim, dk !== undefined) : dk;
  const ddecayParts = scratch(keyBlocks * rows, perHead);
  emit.dispatch({
    kernel: "linear_attention/key_gradient",
    constants: {
      ...headConstants(sizes),
      FIRST: dy === undefined ? sizes.readers : 0,
      VECTOR_KEYS: width === 4,
    },
    uniforms: {
      ...{ ...uniforms, ...decayStrideUniforms(decayTensor) },
      ...{ groups: chunkGroups * keyBlocks, key_blocks: keyBlocks },
    },
    bindings: {
      ...{ q: read(q, width), k: read(k, width), decay: read(decayRank === 2 ? decay : undefined, width) },
      ...{ grow: factors.grow && { ...factors.grow, width: factorWidth } },
      ...{ fade: factors.fade && { ...factors.fade, width: factorWidth } },
      ...{ dy: read(dy), dv: read(delta ? dv : undefined), writes: read(written) },
      ...{ starts: read(starts), middles: read(middles), ends: read(ends) },
      ...{ dpairs: read(dpairs), dkeys: read(dkeys), dq: write(dqOfOutputs, width), dk: write(dkOfHeads, width) },
      ddecay: write(perHead ? ddecayParts : wantsDecay ? ddecay : undefined),
    },
    workgroups: spread(chunkGroups * keyBlocks),
  });
  if (perHead && ddecay !== undefined && ddecayParts !== undefined) {
    const parted = { size: rows, inner: rows, outer_step: 0, part_step: rows, count: keyBlocks, add: true };
    emitSum(ddecayParts, ddecay, parted, emit);
  }
  const addHeads = (x: Bound | undefined, y: Bound | undefined, heads: number, count: number) => {
    if (x === undefined || y === undefined || x === y) return;
    const size = batch * time * heads * keyDim;
    emitSum(x, y, { size, inner: keyDim, outer_step: count * keyDim, part_step: keyDim, count, add: false }, emit);
  };
  addHeads(dqOfOutputs, dq, queryHeads, outputHeads / queryHeads);
  addHeads(dkOfHeads, dk, keyHeads, stateHeads / keyHeads);
}
