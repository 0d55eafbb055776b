// What selective_scan and its gradient share on the GPU: cutting to what a binding holds, packing small tensors into one
// binding, sums of partial results, and the passes that carry a state from chunk to chunk.
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
  update,
  write,
} from "../../runtime/webgpu/lowering.ts";
import { CHUNK } from "./op.ts";

export interface ScanSizes {
  readonly batch: number;
  readonly tokens: number;
  readonly channels: number;
  readonly states: number;
}

/** Tokens `token` … of batch rows `row` …: all of some rows, or some of one. */
export interface Segment {
  readonly row: number;
  readonly rows: number;
  readonly token: number;
  readonly tokens: number;
}

/**
 * Cuts batch rows, or else chunks of tokens, so that no tensor's part is larger than a binding. `perToken`, `perRow`: most
 * elements that a tensor has for each token or batch row.
 */
export function segmentsOf(
  { batch, tokens }: ScanSizes,
  perToken: number,
  perRow: number,
  { maxBinding }: DeviceFacts,
): Segment[] {
  const most = maxBinding / 4 - PART_ALIGNMENT;
  const whole = Math.max(perToken * CHUNK * Math.ceil(tokens / CHUNK), perRow);
  const rows = Math.min(batch, Math.max(1, Math.floor(most / whole)));
  const length = whole <= most ? tokens : CHUNK * Math.max(1, Math.floor(most / perToken / CHUNK));
  const segments: Segment[] = [];
  for (let row = 0; row < batch; row += rows) {
    for (let token = 0; token < Math.max(1, tokens); token += length) {
      const end = Math.min(tokens, token + length);
      segments.push({ row, rows: Math.min(rows, batch - row), token, tokens: end - token });
    }
  }
  return segments;
}

/** Elements of a tensor or of scratch; the first is element `at` of what is bound. */
export interface View {
  readonly bound: Bound;
  readonly at: number;
  readonly length: number;
}

export function viewOf<T extends GpuTensor | Scratch | undefined>(
  of: T,
  first: number,
  length: number,
): View | Extract<T, undefined>;
export function viewOf(of: GpuTensor | Scratch | undefined, first: number, length: number): View | undefined {
  if (of === undefined) return undefined;
  const start = first - (first % PART_ALIGNMENT);
  return { bound: part(of, start, first - start + length), at: first - start, length };
}

/** The segment's views of tensors by what their shapes are per batch row. */
export function viewsOf({ tokens, channels, states }: ScanSizes, segment: Segment) {
  const { row, rows, token } = segment;
  const perToken = (width: number) => {
    return (tensor: GpuTensor | undefined): View | undefined =>
      viewOf(tensor, (row * tokens + token) * width, rows * segment.tokens * width);
  };
  const state = channels * states;
  const chunks = Math.ceil(tokens / CHUNK);
  return {
    sequence: perToken(channels),
    projection: perToken(states),
    state: (tensor: GpuTensor | undefined) => viewOf(tensor, row * state, rows * state),
    starts: (tensor: GpuTensor | undefined) =>
      viewOf(tensor, (row * chunks + token / CHUNK) * state, rows * Math.ceil(segment.tokens / CHUNK) * state),
    whole: (tensor: GpuTensor | undefined) =>
      tensor &&
      viewOf(
        tensor,
        0,
        tensor.shape.reduce((n, d) => n * d, 1),
      ),
  };
}

/** Room for several tensors in one scratch: however many there are, they can share a binding. */
export class Workspace {
  #size = 0;
  #scratch: Scratch | undefined;

  /** Elements of room; the view may be asked for once everything is reserved. */
  reserve(length: number): (emit: Emitter) => View {
    const first = this.#size;
    this.#size += Math.ceil(length / PART_ALIGNMENT) * PART_ALIGNMENT;
    return (emit) => {
      this.#scratch ??= emit.scratch(4 * this.#size);
      // Whole vectors, so that rows of four can be read as such.
      return viewOf(this.#scratch, first, 4 * Math.ceil(length / 4));
    };
  }
}

/** to[i] = Σₚ from[p · stride + i], in order; to what is in `to` already, if `add`. */
export interface Sum {
  readonly from: View;
  readonly to: View;
  readonly length: number;
  readonly parts?: number;
  readonly stride?: number;
  readonly add?: boolean;
}

/** All the sums in one dispatch, an element a thread. */
export function emitSums(kernel: string, sums: readonly Sum[], emit: Emitter): void {
  if (sums.length === 0) return;
  const bindings: Record<string, Binding | undefined> = {};
  const uniforms: Record<string, number> = {};
  const sources = new Map<Bound, string>();
  const branches = sums.map(({ from, to, length, parts = 1, stride = 0, add = false }, k) => {
    const source = sources.get(from.bound) ?? `x${sources.size}`;
    sources.set(from.bound, source);
    bindings[source] = read(from.bound);
    bindings[`y${k}`] = add ? update(to.bound) : write(to.bound);
    Object.assign(uniforms, { [`x_at${k}`]: from.at, [`y_at${k}`]: to.at });
    Object.assign(uniforms, { [`length${k}`]: length, [`parts${k}`]: parts, [`stride${k}`]: stride });
    const start = add ? `y${k}_load(uniforms.y_at${k} + i)` : "0.0";
    return `  if (i < uniforms.length${k}) {
    var sum = ${start};
    for (var p = 0u; p < uniforms.parts${k}; p++) {
      sum += ${source}_load(uniforms.x_at${k} + p * uniforms.stride${k} + i);
    }
    y${k}_store(uniforms.y_at${k} + i, sum);
    return;
  }
  i -= uniforms.length${k};`;
  });
  const source = `@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  var i = id.x + id.y * groups.x * 64u;
${branches.join("\n")}
}
`;
  const threads = sums.reduce((n, { length }) => n + length, 0);
  emit.dispatch({ kernel, source, uniforms, bindings, workgroups: spread(Math.ceil(threads / 64)) });
}

/** Functions that read and write rows of states in fours: x_row(row, n), x_row_store(row, n, value). */
function rowFunctions(name: string, { access }: Binding, states: number): string {
  const wide = states % 4 === 0;
  const each = (line: (k: number) => string): string =>
    [0, 1, 2, 3].map((k) => `if (n + ${k}u < ${states}u) { ${line(k)} }`).join(" ");
  const load = wide
    ? `if (n < ${states}u) { x = ${name}_load4((row + n) >> 2u); }`
    : each((k) => `x[${k}] = ${name}_load(row + n + ${k}u);`);
  const store = wide
    ? `if (n < ${states}u) { ${name}_store4((row + n) >> 2u, x); }`
    : each((k) => `${name}_store(row + n + ${k}u, x[${k}]);`);
  const reads = `fn ${name}_row(row: u32, n: u32) -> vec4f { var x = vec4f(); ${load} return x; }\n`;
  const writes = `fn ${name}_row_store(row: u32, n: u32, x: vec4f) { ${store} }\n`;
  return (access === "write" ? "" : reads) + (access === "read" ? "" : writes);
}

export interface ScanDispatch {
  readonly kernel: string;
  readonly states: number;
  readonly constants: Readonly<Record<string, number | boolean>>;
  readonly uniforms: Readonly<Record<string, number>>;
  /** Tensors whose rows are states. */
  readonly rows: Readonly<Record<string, Access | undefined>>;
  readonly others: Readonly<Record<string, Access | undefined>>;
  readonly workgroups: number;
  readonly reason?: string;
}

export interface Access {
  readonly view: View;
  readonly access: "read" | "write" | "update";
}

export const reading = (view: View | undefined): Access | undefined => view && { view, access: "read" };
export const writing = (view: View | undefined): Access | undefined => view && { view, access: "write" };
export const updating = (view: View | undefined): Access | undefined => view && { view, access: "update" };

/** Dispatches kernels/<kernel>.wgsl with the functions for rows of states. */
export function emitKernel(dispatch: ScanDispatch, emit: Emitter): void {
  const { kernel, states, constants, uniforms, rows, others, workgroups, reason } = dispatch;
  const width = states % 4 === 0 ? 4 : 1;
  const bound = (accesses: typeof rows, wide: 1 | 4): Record<string, Binding | undefined> =>
    Object.fromEntries(
      Object.entries(accesses).map(([name, a]) => [name, a && { tensor: a.view.bound, access: a.access, width: wide }]),
    );
  const rowBindings = bound(rows, width);
  const functions = Object.entries(rowBindings).map(([name, b]) => (b ? rowFunctions(name, b, states) : ""));
  emit.dispatch({
    kernel,
    source: `${functions.join("")}#include "${kernel}.wgsl"\n`,
    constants: { STATES: states, ...constants },
    uniforms,
    bindings: { ...rowBindings, ...bound(others, 1) },
    workgroups: spread(workgroups),
    ...(reason === undefined ? {} : { reason }),
  });
}

/** The tensors, copied into one scratch by one dispatch. */
export function packed<K extends string>(
  views: Readonly<Record<K, View | undefined>>,
  emit: Emitter,
  workspace = new Workspace(),
): Record<K, View | undefined> {
  const places = (Object.entries(views) as [K, View | undefined][]).map(
    ([name, view]) => [name, view, view && workspace.reserve(view.length)] as const,
  );
  const copies = places.map(([name, view, place]) => [name, view, place?.(emit)] as const);
  const sums = copies.flatMap(([, from, to]) => (from && to ? [{ from, to, length: from.length }] : []));
  emitSums("selective_scan/pack", sums, emit);
  return Object.fromEntries(copies.map(([name, , to]) => [name, to])) as Record<K, View | undefined>;
}

/** How a walk over tokens is laid out (kernels/selective_scan/forward.wgsl). */
export interface Layout {
  /** Threads a channel. */
  readonly lanes: number;
  /** Vectors of four states a thread. */
  readonly vectors: number;
  /** Channels a workgroup. */
  readonly columns: number;
}

const WORKGROUP = 64;
/** Vectors of states that a thread keeps in registers beside as many of rates. */
const VECTORS_EACH = 4;

export function layoutOf({ tokens, channels, states }: ScanSizes): Layout {
  const vectors = Math.ceil(states / 4);
  let lanes = 1;
  // One token: a lane for each vector, so that neighbours read neighbouring states.
  const each = tokens === 1 ? 1 : VECTORS_EACH;
  while (lanes < WORKGROUP && lanes * each < vectors) lanes *= 2;
  const columns = Math.max(1, (channels * lanes > WORKGROUP / 2 ? WORKGROUP : WORKGROUP / 2) / lanes);
  return { lanes, vectors: Math.ceil(vectors / lanes), columns };
}

export function layoutConstants({ lanes, vectors, columns }: Layout) {
  return { LANES: lanes, VECTORS: vectors, COLUMNS: columns };
}

const WORKGROUP_MEMORY = 16384;

/** Tokens of a tile that workgroup memory has room for, at so many bytes a token; none: rows of states are not staged. */
export function tileOf(tokens: number, staged: number, others: number): { TOKENS: number; STAGED: boolean } {
  const fitting = (bytes: number): number => {
    let tile = 32;
    while (tile > 1 && (tile * bytes > WORKGROUP_MEMORY || tile >= 2 * tokens)) tile /= 2;
    return tile * bytes <= WORKGROUP_MEMORY ? tile : 0;
  };
  const tile = fitting(staged + others);
  return tile > 0 ? { TOKENS: tile, STAGED: tokens > 1 } : { TOKENS: Math.max(1, fitting(others)), STAGED: false };
}

/** Workgroups that walk channels of `walks` walks. */
export const groupsOf = (walks: number, { channels }: ScanSizes, { columns }: Layout): number =>
  walks * Math.ceil(channels / columns);

/** Threads that keep a device busy: with fewer, chunks are walked side by side. Subgroups of at most 8 lanes are processors'. */
export function fewThreads({ batch, channels }: ScanSizes, { subgroupMaxSize }: DeviceFacts): boolean {
  return batch * channels < (subgroupMaxSize > 8 ? 8192 : 64);
}

export const FEWEST_TOKENS_CHUNKED = 256;

export interface ChunkPass {
  readonly sizes: ScanSizes;
  readonly softplus: boolean;
  /** From the last token to the first, the adjoint. */
  readonly reverse: boolean;
  readonly sequenceAt: number;
  readonly inputs: Readonly<
    Record<"u" | "delta" | "a" | "b" | "c" | "bias" | "z" | "dy" | "initial" | "final" | "ends", View | undefined>
  >;
}

/** Two dispatches: what chunks make of nothing, then the state (or adjoint) that each chunk starts from, in `ends`. */
export function emitChunkStates({ sizes, softplus, reverse, sequenceAt, inputs }: ChunkPass, emit: Emitter): void {
  const { batch, tokens, channels, states } = sizes;
  const { u, delta, a, b, c, bias, z, dy, initial, final, ends } = inputs;
  const chunks = Math.ceil(tokens / CHUNK);
  const layout = layoutOf(sizes);
  const projection = reverse ? c : b;
  const workgroups = groupsOf(batch * chunks, sizes, layout);
  const sums = viewOf(emit.scratch(4 * batch * chunks * channels), 0, batch * chunks * channels);
  const common = { CHANNELS: channels, REVERSE: reverse };
  emitKernel(
    {
      kernel: "selective_scan/ends",
      states,
      constants: {
        ...{ ...common, SOFTPLUS: softplus, UNROLL: 4, ...layoutConstants(layout) },
        ...tileOf(CHUNK, 16 * layout.lanes * layout.vectors, 0),
      },
      uniforms: {
        ...{ time: tokens, chunks, groups: workgroups, sequence_at: sequenceAt },
        ...{ rows_at: projection?.at ?? 0, ends_at: ends?.at ?? 0 },
      },
      rows: { a: reading(a), [reverse ? "c" : "b"]: reading(projection), ends: writing(ends) },
      others: {
        ...{ delta: reading(delta), bias: reading(bias), sums: writing(sums) },
        ...(reverse ? { dy: reading(dy), z: reading(z) } : { u: reading(u) }),
      },
      workgroups,
      reason: "few channels: chunks side by side",
    },
    emit,
  );
  const count = batch * channels * Math.ceil(states / 4);
  emitKernel(
    {
      kernel: "selective_scan/carry",
      states,
      constants: common,
      uniforms: {
        ...{ count, chunks, ends_at: ends?.at ?? 0 },
        ...{ state_at: initial?.at ?? 0, final_at: final?.at ?? 0 },
      },
      rows: { a: reading(a), ends: updating(ends), h0: reading(initial), final: writing(final) },
      others: { sums: reading(sums) },
      workgroups: Math.ceil(count / 64),
    },
    emit,
  );
}
