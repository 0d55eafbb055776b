// Dispatches that the chunked forms of linear attention and its gradient share: runs of batches that fit in bindings, what
// decays leave, pairs of tokens, and the pass from chunk to chunk.
import { sizeOf } from "../../graph/shape.ts";
import {
  type Binding,
  type Bound,
  type DeviceFacts,
  type Emitter,
  type GpuTensor,
  PART_ALIGNMENT,
  part,
  read,
  type Scratch,
  spread,
  write,
} from "../../runtime/webgpu/lowering.ts";
import { type AttentionSizes, decayStrideUniforms, headConstants, headUniforms, scaleUniform } from "./gpu-sizes.ts";
import { CHUNK } from "./shapes.ts";

/** Tokens per chunk of the WY form and of the backward pass. */
export const WY_CHUNK = 32;

/** Tokens `start` … `start + tokens - 1` of batches `first` … `first + count - 1`, of which nothing is larger than a binding may be. */
export interface Run {
  readonly first: number;
  readonly count: number;
  readonly start: number;
  readonly tokens: number;
  readonly isFirst: boolean;
  readonly isLast: boolean;
}

/**
 * `perToken`: elements per token of every tensor and scratch along time that a dispatch binds; `bound`: the tensors among them.
 * Runs of one batch follow each other in time: each goes on from the state of the one before.
 */
export function runsOf(
  { batch, time, stateHeads, keyDim, valueDim }: AttentionSizes,
  perToken: readonly number[],
  bound: readonly (GpuTensor | undefined)[],
  { maxBinding }: DeviceFacts,
): Run[] {
  const most = Math.floor(maxBinding / (4 * Math.max(1, ...perToken)));
  const padded = CHUNK * Math.ceil(time / CHUNK);
  const all = { start: 0, tokens: time, isFirst: true, isLast: true };
  const state = stateHeads * keyDim * valueDim;
  if (most >= padded) {
    const perBatch = [state, ...bound.flatMap((tensor) => elementsPerBatch(tensor, batch))];
    return batchRuns(batch, [...perBatch, ...perToken.map((elements) => elements * padded)], maxBinding).map((run) => ({
      ...{ ...run, ...all },
    }));
  }
  const aligned = bound.flatMap((tensor) => (tensor?.shape[1] === time ? [elementsPerToken(tensor)] : []));
  let step = CHUNK;
  const fits = (elements: number): boolean => elements % PART_ALIGNMENT === 0;
  while (!aligned.every((elements) => fits(step * elements)) || !fits((step / CHUNK) * state)) step *= 2;
  const tokens = Math.max(step, step * Math.floor(most / step));
  const count = Math.ceil(time / tokens);
  return Array.from({ length: batch * count }, (_, i) => {
    const n = i % count;
    const start = n * tokens;
    const cut = { start, tokens: Math.min(tokens, time - start), isFirst: n === 0, isLast: n === count - 1 };
    return { first: Math.floor(i / count), count: 1, ...cut };
  });
}

function batchRuns(batch: number, perBatch: readonly number[], maxBinding: number): Pick<Run, "first" | "count">[] {
  const most = Math.floor(maxBinding / (4 * Math.max(1, ...perBatch)));
  if (most >= batch) return [{ first: 0, count: batch }];
  let step = 1;
  while (step < batch && perBatch.some((elements) => (step * elements) % PART_ALIGNMENT !== 0)) step *= 2;
  const count = Math.max(step, Math.floor(most / step) * step);
  return Array.from({ length: Math.ceil(batch / count) }, (_, i) => ({
    first: i * count,
    count: Math.min(count, batch - i * count),
  }));
}

/** The run's batches of a tensor whose first axis is the batch, or all of one that is the same for every batch. */
export function batchPart<T extends GpuTensor | undefined>(tensor: T, { first, count }: Run): Bound | T {
  const [batch = 1, ...rest] = tensor?.shape ?? [];
  if (tensor === undefined || count === batch || batch === 1) return tensor;
  const elements = sizeOf(rest);
  return part(tensor, first * elements, count * elements);
}

/** The run's batches and tokens of a tensor whose second axis is time (or chunks of `per` tokens), if it depends on time. */
export function runPart<T extends GpuTensor | undefined>(tensor: T, run: Run, per = 1): Bound | T {
  const [batch = 1, length = 1] = tensor?.shape ?? [];
  if (tensor === undefined || length === 1 || (run.isFirst && run.isLast)) return batchPart(tensor, run);
  const elements = elementsPerToken(tensor);
  const start = (batch === 1 ? 0 : run.first) * length + run.start / per;
  return part(tensor, start * elements, Math.ceil(run.tokens / per) * elements);
}

const elementsPerToken = ({ shape }: GpuTensor): number => sizeOf(shape.slice(2));

/** Elements per batch of a tensor that has a batch axis: one number, or none. */
function elementsPerBatch(tensor: GpuTensor | undefined, batch: number): number[] {
  if (tensor === undefined || tensor.shape[0] !== batch) return [];
  return [sizeOf(tensor.shape.slice(1))];
}

/** Value columns, a thread each, per workgroup of kernels/linear_attention/columns.wgsl. */
export const columnsOf = ({ valueDim }: AttentionSizes): number => (valueDim > 32 ? 64 : 32);

/** Of kernels/linear_attention/columns.wgsl; the column of the state has room for the next power of two. */
export const columnConstants = (sizes: AttentionSizes): Record<string, number> => ({
  ...headConstants(sizes),
  COLUMNS: columnsOf(sizes),
  KEY_SLOTS: Math.max(16, 2 ** Math.ceil(Math.log2(sizes.keyDim))),
});

/** Sizes of one run. */
export interface RunSizes extends AttentionSizes {
  /** Chunks of {@link WY_CHUNK}. */
  readonly parts: number;
}

export const runSizes = (sizes: AttentionSizes, { count, tokens }: Run): RunSizes => ({
  ...sizes,
  batch: count,
  time: tokens,
  chunks: Math.ceil(tokens / CHUNK),
  parts: Math.ceil(tokens / WY_CHUNK),
});

/** What decays leave: of the state at a chunk's start (grow), of a token at its end (fade). Nothing without decay. */
export interface Factors {
  readonly grow: Binding | undefined;
  readonly fade: Binding | undefined;
}

/** Scratch for `grow` and `fade` over a run. */
export function factorScratch({ batch, time, stateHeads, keyDim, decayRank }: AttentionSizes, emit: Emitter) {
  if (decayRank === 0) return undefined;
  const bytes = 4 * batch * time * stateHeads * (decayRank === 2 ? keyDim : 1);
  return { grow: emit.scratch(bytes), fade: emit.scratch(bytes) };
}

export function emitFactors(
  sizes: AttentionSizes,
  chunk: number,
  decay: { readonly tensor: GpuTensor | undefined; readonly bound: Bound | undefined },
  scratch: { readonly grow: Scratch; readonly fade: Scratch } | undefined,
  emit: Emitter,
): Factors {
  if (scratch === undefined) return { grow: undefined, fade: undefined };
  const { batch, time, stateHeads, keyDim, decayRank } = sizes;
  const chunks = Math.ceil(time / chunk);
  const threads = batch * chunks * stateHeads * (decayRank === 2 ? keyDim : 1);
  emit.dispatch({
    kernel: "linear_attention/factors",
    constants: { DECAY: decayRank, LENGTH: chunk },
    uniforms: { ...headUniforms(sizes), batch, chunks, ...decayStrideUniforms(decay.tensor) },
    bindings: { decay: read(decay.bound), grow: write(scratch.grow), fade: write(scratch.fade) },
    workgroups: spread(Math.ceil(threads / 64)),
  });
  return { grow: read(scratch.grow), fade: read(scratch.fade) };
}

/** Matrices of pairs of tokens of each chunk, [32, 32] each. */
export interface Pairs {
  /** Per output: queries with keys. */
  readonly pairs: Scratch | undefined;
  /** Per state head, delta rules: keys with keys. */
  readonly keys: Scratch | undefined;
  /** Per state head, delta rules: the inverse of the triangular system. */
  readonly inverse: Scratch | undefined;
}

/** Floats of one matrix for each of `heads`, per batch. */
export const pairFloats = (time: number, heads: number): number =>
  Math.ceil(time / WY_CHUNK) * heads * WY_CHUNK * WY_CHUNK;

export function emitPrepare(
  sizes: RunSizes,
  inputs: Readonly<Record<"q" | "k" | "decay" | "beta", Bound | undefined>>,
  decayTensor: GpuTensor | undefined,
  { pairs, keys, inverse }: Pairs,
  emit: Emitter,
): void {
  const { batch, parts, stateHeads, delta } = sizes;
  if (!delta && pairs === undefined) return;
  const groups = batch * parts * stateHeads;
  emit.dispatch({
    kernel: "linear_attention/prepare",
    constants: headConstants(sizes),
    uniforms: { ...headUniforms(sizes), chunks: parts, groups, ...decayStrideUniforms(decayTensor) },
    bindings: {
      q: pairs && read(inputs.q),
      k: read(inputs.k),
      decay: read(inputs.decay),
      beta: read(inputs.beta),
      pairs: write(pairs),
      keys: write(keys),
      inverse: write(inverse),
    },
    workgroups: spread(groups),
    reason: sizes.decayRank === 2 ? "pairs by products of decays" : "4 × 4 pairs a thread",
  });
}

const scanBindings = {
  ...{ q: undefined, k: undefined, v: undefined, beta: undefined, s0: undefined, grow: undefined, fade: undefined },
  ...{ pairs: undefined, keys: undefined, inverse: undefined, y: undefined, final: undefined, starts: undefined },
  ...{ middles: undefined, errors: undefined, writes: undefined },
} satisfies Record<string, Binding | undefined>;

export type ScanBindings = { readonly [K in keyof typeof scanBindings]?: Binding | undefined };

/** From chunk to chunk: all of them (`span` undefined), or each segment of `span` chunks by itself. */
export function emitScan(
  sizes: RunSizes,
  scale: number,
  /** Chunks of a segment, where each segment is computed by itself. */
  span: number | undefined,
  reason: string,
  bindings: ScanBindings,
  emit: Emitter,
): void {
  const { batch, parts, stateHeads, valueDim } = sizes;
  const segments = span === undefined ? 1 : Math.ceil(parts / span);
  const columns = columnsOf(sizes);
  const blocks = Math.ceil(valueDim / columns);
  const groups = batch * segments * stateHeads * blocks;
  emit.dispatch({
    kernel: "linear_attention/scan",
    constants: columnConstants(sizes),
    uniforms: {
      ...{ ...headUniforms(sizes), ...scaleUniform(scale) },
      ...{ chunks: parts, segments, span: span ?? parts, groups, blocks },
    },
    bindings: { ...scanBindings, ...bindings },
    workgroups: spread(groups),
    reason,
  });
}

/** y = Σ of `count` parts of x; see kernels/linear_attention/sum.wgsl. */
export function emitSum(
  x: Bound,
  y: Bound,
  sizes: { size: number; inner: number; outer_step: number; part_step: number; count: number; add: boolean },
  emit: Emitter,
): void {
  const { count, add, ...uniforms } = sizes;
  emit.dispatch({
    kernel: "linear_attention/sum",
    constants: { COUNT: count, ADD: add },
    uniforms,
    bindings: { x: read(x), y: { tensor: y, access: add ? "update" : "write" } },
    workgroups: spread(Math.ceil(sizes.size / 64)),
  });
}
