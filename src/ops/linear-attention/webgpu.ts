// How the WebGPU runtime computes linear_attention: token by token where there are few tokens, in chunks otherwise.
import {
  type Emitter,
  type GpuLowering,
  read,
  type Scratch,
  spread,
  update,
  write,
} from "../../runtime/webgpu/lowering.ts";
import { required } from "../types.ts";
import {
  type BatchRun,
  batchPart,
  batchRuns,
  elementsPerBatch,
  emitFactors,
  emitPrepare,
  emitScan,
  factorScratch,
  pairFloats,
  runSizes,
  type ScanBindings,
  WY_CHUNK,
} from "./gpu-chunks.ts";
import {
  type AttentionSizes,
  attentionSizes,
  decayStrideUniforms,
  headConstants,
  headUniforms,
  scaleUniform,
} from "./gpu-sizes.ts";
import type { LinearAttentionAttributes } from "./op.ts";
import { CHUNK } from "./shapes.ts";

type Node = Parameters<GpuLowering<LinearAttentionAttributes>>[0];

/** Tokens from which on chunks are faster than one token after the other. */
const FEWEST_TOKENS = { delta: 32, linear: 64 };

/** Value columns of all heads that keep a GPU busy without running chunks beside each other. */
const ENOUGH_COLUMNS = 16384;

type Form = "segments" | "chunks" | "tokens";

export const lower: GpuLowering<LinearAttentionAttributes> = (node, emit) => {
  const sizes = attentionSizes("linear_attention", node);
  if (sizes.batch * sizes.stateHeads * sizes.valueDim * sizes.keyDim === 0) return;
  const form = chooseForm(node, sizes, emit);
  if (form === "tokens") recurrent(node, sizes, emit);
  else chunked(node, sizes, form, emit);
};

function chooseForm({ attributes: { rule } }: Node, sizes: AttentionSizes, emit: Emitter): Form {
  const { batch, time, stateHeads, keyDim, valueDim, readers, decayRank, delta } = sizes;
  if (time < (delta ? FEWEST_TOKENS.delta : FEWEST_TOKENS.linear)) return "tokens";
  // Long prompts, of which the pairs of one batch alone are more than a binding may hold.
  const scratch = Math.max(
    pairFloats(time, sizes.outputHeads),
    delta ? 0 : sizes.chunks * stateHeads * keyDim * valueDim,
  );
  if (4 * scratch > emit.device.maxBinding) return "tokens";
  const columns = batch * stateHeads * valueDim;
  const key = `${rule} ${decayRank} ${columns} ${keyDim} ${readers} T${2 ** Math.ceil(Math.log2(time))}`;
  // What the delta rules write depends on the state, so that chunks can't run beside each other.
  if (delta) return emit.tuned<Form>(key, ["chunks", "tokens"]);
  return emit.tuned<Form>(
    key,
    columns < ENOUGH_COLUMNS ? ["segments", "chunks", "tokens"] : ["chunks", "segments", "tokens"],
  );
}

/** In chunks of 32 tokens (kernels/linear_attention/scan.wgsl); `segments`: every 64 tokens beside the others, from states passed on. */
function chunked(node: Node, sizes: AttentionSizes, form: "segments" | "chunks", emit: Emitter): void {
  const { time, outputHeads, stateHeads, keyDim, valueDim, decayRank, delta } = sizes;
  const { inputs, outputs, attributes } = node;
  const state = stateHeads * keyDim * valueDim;
  const largest = [
    ...[outputHeads * time * valueDim, outputHeads * time * keyDim, pairFloats(time, outputHeads)],
    ...(outputs[2] === undefined && form === "chunks" ? [] : [sizes.chunks * state]),
    ...[...inputs, ...outputs].flatMap((tensor) => elementsPerBatch(tensor, sizes.batch)),
  ];
  for (const run of batchRuns(sizes.batch, largest, emit.device)) {
    const local = runSizes(sizes, run);
    const [q, k, v, decay, beta, s0] = inputs.map((tensor) => batchPart(tensor, run));
    const [y, final, starts] = outputs.map((tensor) => batchPart(tensor, run));
    const scratch = (floats: number): Scratch => emit.scratch(4 * local.batch * floats);
    const decays = { tensor: inputs[3], bound: decay };
    const factors = emitFactors(local, WY_CHUNK, decays, factorScratch(local, emit), emit);
    const pairs = {
      pairs: scratch(pairFloats(time, outputHeads)),
      keys: undefined,
      inverse: delta ? scratch(pairFloats(time, stateHeads)) : undefined,
    };
    emitPrepare(local, { q, k, decay, beta }, inputs[3], pairs, emit);
    const scan = (span: number | undefined, reason: string, bindings: ScanBindings) =>
      emitScan(local, attributes.scale, span, reason, { k: read(k), v: read(v), ...factors, ...bindings }, emit);
    const outward = { q: read(q), pairs: read(pairs.pairs), y: write(y) };
    if (form === "chunks") {
      scan(undefined, "chunks of 32 tokens, one after the other", {
        ...{ ...outward, beta: read(beta), s0: read(s0), inverse: read(pairs.inverse) },
        ...{ final: write(final), starts: write(starts) },
      });
      continue;
    }
    const states = starts ?? scratch(sizes.chunks * state);
    scan(SEGMENT, "what every 64 tokens write", { final: write(states) });
    emit.dispatch({
      kernel: "linear_attention/pass",
      constants: { DECAY: decayRank },
      uniforms: { ...headUniforms(local), segments: sizes.chunks, size: local.batch * state },
      bindings: { grow: factors.grow, s0: read(s0), states: update(states), final: write(final) },
      workgroups: spread(Math.ceil((local.batch * state) / 64)),
    });
    scan(SEGMENT, "every 64 tokens from the state before them", { ...outward, s0: read(states) });
  }
}

/** Chunks of 32 tokens in what the states at multiples of 64 tokens separate. */
const SEGMENT = CHUNK / WY_CHUNK;

/** Floats of workgroup memory for staged rows, and for sums. */
const STAGED_FLOATS = 2048;
const SUM_FLOATS = 1536;
const MOST_STAGED_FLOATS = 3072;

function recurrent(node: Node, sizes: AttentionSizes, emit: Emitter): void {
  const tensors = [...node.inputs, ...node.outputs];
  const perBatch = tensors.flatMap((tensor) => elementsPerBatch(tensor, sizes.batch));
  for (const run of batchRuns(sizes.batch, perBatch, emit.device)) recurrentRun(node, sizes, run, emit);
}

function recurrentRun(
  { inputs, outputs, attributes }: Node,
  sizes: AttentionSizes,
  run: BatchRun,
  emit: Emitter,
): void {
  const { time, chunks, stateHeads, keyDim, valueDim, readers, decayRank, delta } = sizes;
  const [q, k, v, decay, beta, s0] = inputs.map((tensor) => batchPart(tensor, run));
  const [y, final, starts] = outputs.map((tensor) => batchPart(tensor, run));
  const width = time > 1 && valueDim % 4 === 0 ? 4 : 1;
  // Threads per column so that each has at most 32 keys in registers; the rest of the workgroup are other columns.
  let lanes = 1;
  while (lanes < 64 && keyDim > 32 * lanes) lanes *= 2;
  const { subgroups, subgroupMinSize } = emit.device;
  const quad = subgroups && subgroupMinSize >= 4 && lanes <= 4 && keyDim > 16;
  if (quad) lanes = 4;
  let columns = 64;
  while (columns * lanes > 128 || (columns * lanes > 32 && columns * width >= 2 * valueDim)) columns /= 2;
  const keyGroups = Math.ceil(keyDim / lanes / 4);
  const sums = (readers + (delta ? 1 : 0)) * (lanes > 1 && !quad ? lanes * columns * width : 0);
  const staged = 4 * keyGroups * lanes * (readers + 1 + (decayRank === 2 ? 1 : 0));
  let tokens = time === 1 ? 1 : 16;
  while (tokens > 1 && tokens * Math.max(sums / SUM_FLOATS, staged / STAGED_FLOATS) > 1) tokens /= 2;
  const blocks = Math.ceil(valueDim / columns / width);
  const groups = run.count * stateHeads * blocks;
  emit.dispatch({
    kernel: "linear_attention/recurrent",
    constants: {
      ...headConstants(sizes),
      ...{ LANES: lanes, COLUMNS: columns, GROUPS: keyGroups, QUAD: quad, WIDTH: width, TOKENS: tokens },
      ...{ STAGED: staged <= MOST_STAGED_FLOATS, WHOLE: 4 * keyGroups * lanes === keyDim },
    },
    uniforms: {
      ...{ ...headUniforms(sizes), ...scaleUniform(attributes.scale), ...decayStrideUniforms(inputs[3]) },
      ...{ chunks, groups, blocks },
    },
    bindings: {
      ...{ q: read(q), k: read(k), v: read(v, width), decay: read(decay), beta: read(beta), s0: read(s0, width) },
      y: write(required(y, "output of linear_attention"), width),
      final: write(final, width),
      starts: chunks === 0 ? undefined : write(starts, width),
    },
    workgroups: spread(groups),
    reason: time === 1 ? "one token" : "token by token",
  });
}
