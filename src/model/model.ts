// A model: an architecture with weights on a runtime. Compiles programs for the sizes it meets, keeps states resident
// between calls, and generates.
import { buildForward } from "../blocks/model.ts";
import { requireTokenRange } from "../data/tokenizer.ts";
import type { StateAttributes } from "../graph/leaves.ts";
import { bindShape, sizeOf } from "../graph/shape.ts";
import type { Graph } from "../graph/types.ts";
import { optimise } from "../ops/passes/optimise.ts";
import type { Buffer, Explanation, HostArray, LaunchTime, Program, Runtime } from "../runtime/types.ts";
import type { ArchitectureSpec } from "../spec/types.ts";
import { ModelError } from "./error.ts";
import { foldWeights } from "./fold.ts";
import { specHash } from "./hash.ts";
import { prefixIds, withoutPrefix, withPrefix } from "./prefix.ts";
import { createSampler, type SamplingOptions } from "./sample.ts";
import { dependsOnCapacity, ModelState, requireSameSpec, type StateLayout, type StateSlot } from "./state.ts";

export interface ForwardOptions {
  /** Continue from this state, which advances; without it every row starts at the beginning and nothing is kept. */
  readonly state?: ModelState;
  /** Which positions to compute logits for; default all. */
  readonly logits?: "all" | "last";
}

export interface ForwardResult {
  /** f32 [B, T, V], or [B, 1, V] for the last position only. */
  readonly logits: Float32Array;
  readonly shape: readonly [batch: number, length: number, vocabulary: number];
}

export interface GenerateOptions extends SamplingOptions {
  /** Default 128. */
  readonly maxTokens?: number;
  /** Tokens that end the text (not yielded). */
  readonly stopTokens?: readonly number[];
  /** Continue from this state; it advances past everything but the last yielded token. */
  readonly state?: ModelState;
  readonly signal?: AbortSignal;
}

/** Rows of token ids, all of one length; a flat list is one row. */
export type TokenRows =
  | readonly number[]
  | Int32Array
  | Uint8Array
  | readonly (readonly number[] | Int32Array | Uint8Array)[];

/** Prompt tokens that are processed by one call: bounds memory, whatever the prompt's length. */
const PREFILL_CHUNK = 512;
const MOST_PROGRAMS = 16;
const MOST_SLOTS = 4;
const FIRST_CAPACITY = 64;

/** What a program's launches are, and how long each took. */
export interface Profile {
  readonly explanations: readonly Explanation[];
  readonly launches: readonly LaunchTime[];
}

interface CachedProgram {
  readonly program: Program;
  readonly slot: StateSlot | undefined;
}

export class Model {
  readonly spec: ArchitectureSpec;
  readonly runtime: Runtime;
  /** Tensors that a state of this model holds. */
  readonly stateLayout: StateLayout;
  readonly #buffers: ReadonlyMap<string, Buffer>;
  readonly #ownsRuntime: boolean;
  readonly #ownsBuffers: boolean;
  readonly #graphs = new Map<string, Promise<Graph>>();
  /** What programs compute from weights alone, computed once. Empty where weights belong to somebody who may write them. */
  readonly #folded = new Map<string, Buffer>();
  readonly #programs = new Map<string, CachedProgram>();
  readonly #slots = new Map<string, StateSlot>();
  /** Calls run one after the other: they share memory. */
  #queue: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  /** Use createModel. */
  constructor(
    spec: ArchitectureSpec,
    runtime: Runtime,
    buffers: ReadonlyMap<string, Buffer>,
    owns: { readonly runtime: boolean; readonly buffers: boolean },
  ) {
    this.spec = spec;
    this.runtime = runtime;
    this.#buffers = buffers;
    this.#ownsRuntime = owns.runtime;
    this.#ownsBuffers = owns.buffers;
    const tensors = optimise(buildForward(spec, { stateful: true })).states.map(({ name, input }) => ({
      name,
      shape: input.shape,
      reset: (input.node.attributes as StateAttributes).reset,
    }));
    this.stateLayout = { specHash: specHash(spec), tensors };
  }

  /** Number of trained values. */
  get parameterCount(): number {
    return [...this.#buffers.values()].reduce((sum, buffer) => sum + sizeOf(buffer.shape), 0);
  }

  /** Copies of all weights by name. */
  async weights(): Promise<Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>> {
    const weights = new Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>();
    for (const [name, buffer] of this.#buffers) {
      const data = await buffer.read();
      if (data instanceof Float32Array) weights.set(name, { shape: buffer.shape, data });
    }
    return weights;
  }

  /** A state before the first token. `context`: keys that full-attention caches can hold at first (they grow). */
  createState(batch = 1, { context = FIRST_CAPACITY }: { readonly context?: number } = {}): ModelState {
    if (!Number.isInteger(batch) || batch < 1) throw new ModelError(`batch is ${batch}; allowed: 1 or more`);
    if (!Number.isInteger(context) || context < 1) throw new ModelError(`context is ${context}; allowed: 1 or more`);
    return new ModelState(this.stateLayout, batch, this.#needsCapacity() ? context : 1);
  }

  /** Reads a state that `state.save()` wrote. @throws ModelError when it belongs to another architecture. */
  loadState(bytes: Uint8Array, name?: string): Promise<ModelState> {
    return ModelState.load(bytes, this.stateLayout, name);
  }

  /**
   * Runs tokens [B, T] through the model.
   * @throws ModelError for token ids out of range, rows of different lengths, sequences longer than learned positions, or
   * a state of another architecture or batch size.
   */
  forward(tokens: TokenRows, options: ForwardOptions = {}): Promise<ForwardResult> {
    if (this.#isClosed) return Promise.reject(new ModelError(`the model ${this.spec.name} was closed`));
    const result = this.#queue.then(() => this.#forward(tokens, options));
    this.#queue = result.catch(() => {});
    return result;
  }

  async #forward(rows: TokenRows, { state, logits = "all" }: ForwardOptions): Promise<ForwardResult> {
    const { batch, length, tokens } = flatten(rows, this.spec.vocab_size);
    const last = logits === "last";
    const shape = [batch, last ? 1 : length, this.spec.vocab_size] as const;
    const { prefix_tokens: prefix } = this.spec.embedding;
    if (state === undefined) {
      const all = prefix === 0 ? tokens : withPrefix(tokens, length, prefixIds(this.spec, 1));
      const values = await this.#run(all, new Int32Array(batch), last, undefined);
      return { logits: last ? values : withoutPrefix(values, length + prefix, prefix, this.spec.vocab_size), shape };
    }
    requireSameSpec(state.layout.specHash, this.stateLayout, "state");
    if (state.batch !== batch) throw new ModelError(`the state has ${state.batch} rows, the tokens have ${batch}`);
    const needed = prefix + Math.max(...state.positions) + length;
    if (this.#needsCapacity() && needed > state.capacity) await state.reserve(roomFor(needed));
    const fresh = state.positions.filter((position) => position === 0).length;
    if (prefix > 0 && fresh > 0) {
      if (fresh < batch)
        throw new ModelError(`of ${batch} rows ${fresh} have yet to read the prefix; all must, or none`);
      await this.#run(prefixIds(this.spec, batch), new Int32Array(batch), true, state);
    }
    const values = await this.#run(
      tokens,
      state.positions.map((position) => position + prefix),
      last,
      state,
    );
    for (let row = 0; row < batch; row++) state.positions[row] = (state.positions[row] ?? 0) + length;
    return { logits: values, shape };
  }

  /** Logits of tokens [B, T] whose rows begin at the positions `starts`. */
  async #run(
    tokens: Int32Array,
    starts: Int32Array,
    last: boolean,
    state: ModelState | undefined,
  ): Promise<Float32Array> {
    const length = tokens.length / starts.length;
    const inputs: Record<string, HostArray> = state === undefined ? { tokens } : { tokens, position: starts };
    if (this.spec.positions !== null)
      inputs.positions = this.#positions(starts, length, this.spec.positions.max_length);
    const { program, slot } = await this.#program(
      starts.length,
      length,
      state?.capacity ?? 1,
      last,
      state !== undefined,
    );
    if (state !== undefined && slot !== undefined) await state.enter(slot);
    const { logits } = await program.run(inputs);
    if (!(logits instanceof Float32Array)) throw new ModelError("the program computed no logits");
    return logits;
  }

  /**
   * Yields tokens that continue `prompt`. The prompt is processed in chunks, so memory does not grow with it.
   * @throws ModelError for an empty prompt with a fresh state, or options out of range.
   */
  async *generate(
    prompt: readonly number[] | Int32Array | Uint8Array,
    options: GenerateOptions = {},
  ): AsyncGenerator<number> {
    const { maxTokens = 128, stopTokens = [], signal } = options;
    if (!Number.isInteger(maxTokens) || maxTokens < 0)
      throw new ModelError(`maxTokens is ${maxTokens}; allowed: 0 or more`);
    if (prompt.length === 0)
      throw new ModelError("the prompt is empty: generation needs at least one token to start from");
    const sampler = createSampler(options);
    const state = options.state ?? this.createState(1, { context: roomFor(prompt.length + maxTokens) });
    const seen = new Set<number>(prompt);
    let logits = new Float32Array();
    for (let start = 0; start < prompt.length; start += PREFILL_CHUNK) {
      signal?.throwIfAborted();
      const chunk = Array.from(prompt.slice(start, start + PREFILL_CHUNK));
      logits = (await this.forward(chunk, { state, logits: "last" })).logits as Float32Array<ArrayBuffer>;
    }
    for (let count = 0; count < maxTokens; count++) {
      signal?.throwIfAborted();
      const token = sampler.next(logits, seen);
      if (stopTokens.includes(token)) return;
      seen.add(token);
      yield token;
      if (count + 1 < maxTokens)
        logits = (await this.forward([token], { state, logits: "last" })).logits as Float32Array<ArrayBuffer>;
    }
  }

  /** How each step of a call with these sizes is run: kernels, FLOPs and bytes. */
  async explain({ batch = 1, length = 1, context = FIRST_CAPACITY } = {}): Promise<readonly Explanation[]> {
    const { program } = await this.#program(batch, length, this.#needsCapacity() ? context : 1, true, true);
    return program.explain();
  }

  /**
   * Times every launch of one call with these sizes, on tokens 0 from a fresh state. States of this model that are in
   * use are not touched.
   * @throws RuntimeError on a runtime that can't time launches.
   */
  async profile({ batch = 1, length = 1, context = FIRST_CAPACITY } = {}): Promise<Profile> {
    const capacity = this.#needsCapacity() ? Math.max(context, length) : 1;
    const { program, slot } = await this.#program(batch, length, capacity, true, true);
    if (program.profile === undefined)
      throw new ModelError(`the ${this.runtime.name} runtime can't time single launches`);
    if (slot !== undefined) await this.createState(batch, { context: capacity }).enter(slot);
    const inputs: Record<string, HostArray> = {
      tokens: new Int32Array(batch * length),
      position: new Int32Array(batch),
    };
    if (this.spec.positions !== null)
      inputs.positions = this.#positions(new Int32Array(batch), length, this.spec.positions.max_length);
    // The first run warms caches up.
    await program.profile(inputs);
    return { explanations: program.explain(), launches: await program.profile(inputs) };
  }

  /** Gives back all memory and, where the model made it, ends the runtime. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#queue;
    for (const { program } of this.#programs.values()) program.free();
    this.#programs.clear();
    for (const slot of this.#slots.values()) await freeSlot(slot);
    this.#slots.clear();
    if (this.#ownsBuffers) for (const buffer of [...this.#buffers.values(), ...this.#folded.values()]) buffer.free();
    if (this.#ownsRuntime) await this.runtime.close();
  }

  #needsCapacity(): boolean {
    return this.stateLayout.tensors.some(({ shape }) => dependsOnCapacity(shape));
  }

  #positions(starts: Int32Array, length: number, limit: number): Int32Array {
    const positions = new Int32Array(starts.length * length);
    for (const [row, start] of starts.entries()) {
      if (start + length > limit) {
        throw new ModelError(
          `the sequence reaches position ${start + length}, but ${this.spec.name} has learned positions for ${limit} tokens only`,
        );
      }
      for (let t = 0; t < length; t++) positions[row * length + t] = start + t;
    }
    return positions;
  }

  #graph(stateful: boolean, lastOnly: boolean): Promise<Graph> {
    const key = `${stateful} ${lastOnly}`;
    let graph = this.#graphs.get(key);
    if (graph === undefined) {
      const built = optimise(buildForward(this.spec, { stateful, lastOnly }));
      graph = this.#ownsBuffers
        ? foldWeights(built, this.runtime, this.#buffers, this.#folded)
        : Promise.resolve(built);
      this.#graphs.set(key, graph);
    }
    return graph;
  }

  async #program(
    batch: number,
    length: number,
    capacity: number,
    last: boolean,
    stateful: boolean,
  ): Promise<CachedProgram> {
    const key = `${batch} ${length} ${capacity} ${last} ${stateful}`;
    const known = this.#programs.get(key);
    if (known !== undefined) {
      // Most recently used last.
      this.#programs.delete(key);
      this.#programs.set(key, known);
      return known;
    }
    const slot = stateful ? await this.#slot(batch, capacity) : undefined;
    for (const [oldest, { program }] of this.#programs) {
      if (this.#programs.size < MOST_PROGRAMS) break;
      program.free();
      this.#programs.delete(oldest);
    }
    const program = await this.runtime.compile(await this.#graph(stateful, last), {
      bindings: { B: batch, T: length, C: capacity },
      buffers: new Map([...this.#buffers, ...this.#folded, ...(slot?.buffers ?? [])]),
    });
    const cached = { program, slot };
    this.#programs.set(key, cached);
    return cached;
  }

  async #slot(batch: number, capacity: number): Promise<StateSlot> {
    const key = `${batch} ${capacity}`;
    let slot = this.#slots.get(key);
    if (slot !== undefined) return slot;
    for (const [oldest, old] of this.#slots) {
      if (this.#slots.size < MOST_SLOTS) break;
      for (const [name, cached] of this.#programs) {
        if (cached.slot !== old) continue;
        cached.program.free();
        this.#programs.delete(name);
      }
      await freeSlot(old);
      this.#slots.delete(oldest);
    }
    const bindings = { B: batch, T: 1, C: capacity };
    const buffers = new Map(
      this.stateLayout.tensors.map(({ name, shape }) => [
        name,
        this.runtime.buffer({ shape: bindShape(shape, bindings), dtype: "f32" }),
      ]),
    );
    slot = { buffers, resident: undefined };
    this.#slots.set(key, slot);
    return slot;
  }
}

async function freeSlot(slot: StateSlot): Promise<void> {
  await slot.resident?.leave();
  for (const buffer of slot.buffers.values()) buffer.free();
}

/** Capacity for `tokens`: powers of two, so that growing copies little and programs are reused. */
function roomFor(tokens: number): number {
  return Math.max(FIRST_CAPACITY, 2 ** Math.ceil(Math.log2(tokens)));
}

function flatten(rows: TokenRows, vocabSize: number): { batch: number; length: number; tokens: Int32Array } {
  const isFlat = (value: TokenRows): value is readonly number[] | Int32Array | Uint8Array =>
    typeof value[0] === "number";
  const list =
    rows.length === 0 || isFlat(rows) ? [rows as readonly number[]] : (rows as readonly (readonly number[])[]);
  const length = list[0]?.length ?? 0;
  if (length === 0) throw new ModelError("there are no tokens");
  const tokens = new Int32Array(list.length * length);
  for (const [i, row] of list.entries()) {
    if (row.length !== length)
      throw new ModelError(`row ${i} has ${row.length} tokens, row 0 has ${length}: rows must be equally long`);
    requireTokenRange(row, vocabSize, `row ${i}`);
    tokens.set(row, i * length);
  }
  return { batch: list.length, length, tokens };
}
