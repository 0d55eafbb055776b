// How the WebGPU runtime computes linear_attention: token by token where there are few tokens, in chunks otherwise.
import {
  type Emitter,
  type GpuLowering,
  isCpu,
  read,
  type Scratch,
  spread,
  update,
  write,
} from "../../runtime/webgpu/lowering.ts";
import {
  batchPart,
  emitFactors,
  emitPrepare,
  emitScan,
  factorScratch,
  pairFloats,
  runPart,
  runSizes,
  runsOf,
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
  const columns = batch * stateHeads * valueDim;
  const key = `${rule} ${decayRank} ${columns} ${keyDim} ${readers} T${2 ** Math.ceil(Math.log2(time))}`;
  // Chunks share what they read among 32 tokens; where memory is cache and lanes are few, the shorter sums of the recurrence win.
  if (isCpu(emit.device)) return emit.tuned<Form>(key, ["tokens", "chunks"]);
  // What the delta rules write depends on the state, so that chunks can't run beside each other.
  if (delta) return emit.tuned<Form>(key, ["chunks", "tokens"]);
  return emit.tuned<Form>(
    key,
    columns < ENOUGH_COLUMNS ? ["segments", "chunks", "tokens"] : ["chunks", "segments", "tokens"],
  );
}

/** The runs of a form, each with its part of every tensor, and the state that it goes on from and leaves. */
function* statefulRuns({ inputs, outputs }: Node, sizes: AttentionSizes, form: Form, emit: Emitter) {
  const { stateHeads, outputHeads, keyDim, valueDim, delta } = sizes;
  const state = stateHeads * keyDim * valueDim;
  const kept = outputs[2] !== undefined || form === "segments" ? state / CHUNK : 0;
  const pairs = form === "tokens" ? 0 : WY_CHUNK * Math.max(outputHeads, delta ? stateHeads : 0);
  const perToken = [outputHeads * valueDim, outputHeads * keyDim, stateHeads * valueDim, kept, pairs];
  const [, , , , , initial] = inputs;
  const [y, final, starts] = outputs;
  const timed = [...inputs.slice(0, 5), y];
  let handed: Scratch | undefined;
  for (const run of runsOf(sizes, perToken, timed, emit.device)) {
    const [q, k, v, decay, beta] = inputs.slice(0, 5).map((tensor) => runPart(tensor, run));
    const s0 = run.isFirst ? batchPart(initial, run) : handed;
    handed = run.isLast ? undefined : emit.scratch(4 * state);
    yield {
      run,
      inputs: { q, k, v, decay, beta, s0 },
      outputs: { y: runPart(y, run), final: handed ?? batchPart(final, run), starts: runPart(starts, run, CHUNK) },
    };
  }
}

/** In chunks of 32 tokens (kernels/linear_attention/scan.wgsl); `segments`: every 64 tokens beside the others, from states passed on. */
function chunked(node: Node, sizes: AttentionSizes, form: "segments" | "chunks", emit: Emitter): void {
  const { outputHeads, stateHeads, keyDim, valueDim, decayRank, delta } = sizes;
  const { attributes } = node;
  const state = stateHeads * keyDim * valueDim;
  for (const { run, inputs, outputs } of statefulRuns(node, sizes, form, emit)) {
    const local = runSizes(sizes, run);
    const { q, k, v, decay, beta, s0 } = inputs;
    const { y, final, starts } = outputs;
    const scratch = (floats: number): Scratch => emit.scratch(4 * local.batch * floats);
    const decays = { tensor: node.inputs[3], bound: decay };
    const factors = emitFactors(local, WY_CHUNK, decays, factorScratch(local, emit), emit);
    const pairs = {
      pairs: scratch(pairFloats(local.time, outputHeads)),
      keys: undefined,
      inverse: delta ? scratch(pairFloats(local.time, stateHeads)) : undefined,
    };
    emitPrepare(local, { q, k, decay, beta }, node.inputs[3], pairs, emit);
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
    const states = starts ?? scratch(local.chunks * state);
    scan(SEGMENT, "what every 64 tokens write", { final: write(states) });
    emit.dispatch({
      kernel: "linear_attention/pass",
      constants: { DECAY: decayRank },
      uniforms: { ...headUniforms(local), segments: local.chunks, size: local.batch * state },
      bindings: { grow: factors.grow, s0: read(s0), states: update(states), final: write(final) },
      workgroups: spread(Math.ceil((local.batch * state) / 64)),
    });
    scan(SEGMENT, "every 64 tokens from the state before them", { ...outward, s0: read(states) });
  }
}

/** Chunks of 32 tokens in what the states at multiples of 64 tokens separate. */
const SEGMENT = CHUNK / WY_CHUNK;

/** Quads of keys that a thread may hold in registers. */
const MOST_UNROLLED_GROUPS = 8;

/** Floats of workgroup memory for staged rows, and for sums. */
const STAGED_FLOATS = 2048;
const SUM_FLOATS = 1536;
const MOST_STAGED_FLOATS = 3072;

function recurrent(node: Node, sizes: AttentionSizes, emit: Emitter): void {
  for (const { run, ...tensors } of statefulRuns(node, sizes, "tokens", emit))
    recurrentRun(node, runSizes(sizes, run), tensors, emit);
}

type RunTensors = Omit<ReturnType<ReturnType<typeof statefulRuns>["next"]>["value"] & object, "run">;

function recurrentRun(
  { inputs: whole, attributes }: Node,
  sizes: AttentionSizes,
  { inputs: { q, k, v, decay, beta, s0 }, outputs: { y, final, starts } }: RunTensors,
  emit: Emitter,
): void {
  const { batch, time, chunks, stateHeads, keyDim, valueDim, readers, decayRank, delta } = sizes;
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
  const groups = batch * stateHeads * blocks;
  emit.dispatch({
    kernel: "linear_attention/recurrent",
    constants: {
      ...headConstants(sizes),
      ...{ LANES: lanes, COLUMNS: columns, GROUPS: keyGroups, QUAD: quad, WIDTH: width, TOKENS: tokens },
      ...{
        STAGED: staged <= MOST_STAGED_FLOATS,
        WHOLE: 4 * keyGroups * lanes === keyDim,
        UNROLLED: keyGroups <= MOST_UNROLLED_GROUPS,
      },
    },
    uniforms: {
      ...{ ...headUniforms(sizes), ...scaleUniform(attributes.scale), ...decayStrideUniforms(whole[3]) },
      ...{ chunks, groups, blocks },
    },
    bindings: {
      ...{ q: read(q), k: read(k), v: read(v, width), decay: read(decay), beta: read(beta), s0: read(s0, width) },
      y: write(y, width),
      final: write(final, width),
      starts: chunks === 0 ? undefined : write(starts, width),
    },
    workgroups: spread(groups),
    reason: time === 1 ? "one token" : "token by token",
  });
}
