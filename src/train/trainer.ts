// The training loop's engine: weights, gradients and optimiser state in a runtime's buffers, and the programs of a step.
// It knows nothing of files, clocks or terminals (src/cli/train.ts does).
import { buildLoss } from "../blocks/model.ts";
import { type Accuracy, countCorrect } from "../data/accuracy.ts";
import { type Batch, type BatchSource, IGNORED_TARGET } from "../data/batches.ts";
import { requireTokenRange } from "../data/tokenizer.ts";
import { parameterAttributes } from "../graph/graph.ts";
import type { Bindings } from "../graph/shape.ts";
import type { Graph } from "../graph/types.ts";
import { createModel } from "../model/create.ts";
import { specHash } from "../model/hash.ts";
import { initialiseParameters } from "../model/initialise.ts";
import type { Model } from "../model/model.ts";
import { prefixIds, withoutPrefix, withPrefix } from "../model/prefix.ts";
import { argMax } from "../model/sample.ts";
import { optimise } from "../ops/passes/optimise.ts";
import type { Buffer, HostArray, Program, Runtime } from "../runtime/types.ts";
import type { ArchitectureSpec } from "../spec/types.ts";
import { type Checkpoint, type CheckpointTensor, requireSameSpec, requireTensors } from "./checkpoint.ts";
import { type AdamwOptions, buildGradients, buildUpdate, gradientName, momentName, ROUTER_FACTS } from "./step.ts";

export interface TrainerOptions extends AdamwOptions {
  readonly spec: ArchitectureSpec;
  readonly runtime: Runtime;
  readonly batches: BatchSource;
  /** Longest gradient (global norm); 0: no limit. */
  readonly gradientClip: number;
  /** Micro-batches of a step. */
  readonly accumulation: number;
  /** Recompute layers in the backward pass. */
  readonly checkpointing: boolean;
  /** Of the initial weights. */
  readonly seed: number;
}

export interface StepResult {
  /** Steps done, this one included. */
  readonly step: number;
  /** Mean over micro-batches of the mean cross entropy, in nats. */
  readonly loss: number;
  /** Of all gradients together, before clipping. */
  readonly gradientNorm: number;
  /** Of a model with experts, means over micro-batches. */
  readonly routers: RouterFacts;
}

/** What is known of a model's routers; see src/blocks/balance.ts. */
export type RouterFacts = { readonly [F in (typeof ROUTER_FACTS)[number]]?: number };

export interface EvaluationResult {
  /** Mean over all scored positions, in nats. */
  readonly loss: number;
  readonly accuracy: Accuracy;
}

/** Training met a loss or gradient that is not finite; weights are still those of the step before. */
export class DivergedError extends Error {
  override name = "DivergedError";
  readonly step: number;

  constructor(step: number, what: string) {
    super(
      `step ${step}: ${what}; the weights are those of step ${step - 1}. Lower the learning rate, clip gradients, or warm up longer`,
    );
    this.step = step;
  }
}

export class Trainer {
  readonly spec: ArchitectureSpec;
  readonly runtime: Runtime;
  /** The model that is being trained: it shares the weights. */
  readonly model: Model;
  readonly #options: TrainerOptions;
  readonly #buffers: ReadonlyMap<string, Buffer>;
  readonly #parameters: readonly string[];
  readonly #gradients: readonly Program[];
  readonly #update: Program;
  #evaluation: Program | undefined;
  #step = 0;

  private constructor(
    options: TrainerOptions,
    model: Model,
    buffers: ReadonlyMap<string, Buffer>,
    parameters: readonly string[],
    gradients: readonly Program[],
    update: Program,
  ) {
    this.spec = options.spec;
    this.runtime = options.runtime;
    this.model = model;
    this.#options = options;
    this.#buffers = buffers;
    this.#parameters = parameters;
    this.#gradients = gradients;
    this.#update = update;
  }

  /** Draws initial weights and compiles the step. */
  static async create(options: TrainerOptions): Promise<Trainer> {
    const { spec, runtime, batches, accumulation: microBatches, checkpointing, seed } = options;
    const loss = buildLoss(spec);
    const initial = initialiseParameters(loss, seed);
    const weights = new Map<string, Buffer>();
    const buffers = new Map<string, Buffer>();
    for (const { name, tensor } of loss.parameters) {
      const type = { shape: parameterAttributes(tensor).shape as readonly number[], dtype: "f32" as const };
      weights.set(name, runtime.buffer(type, initial.get(name)));
      buffers.set(gradientName(name), runtime.buffer(type));
      for (const moment of ["m", "v"] as const) buffers.set(momentName(moment, name), runtime.buffer(type));
    }
    for (const [name, buffer] of weights) buffers.set(name, buffer);
    const time = spec.embedding.prefix_tokens + batches.length;
    const bindings: Bindings = { B: batches.batch, T: time, C: time };
    const compile = (graph: Graph): Promise<Program> => runtime.compile(graph, { bindings, buffers });
    const gradients = [await compile(buildGradients(spec, { checkpointing, accumulate: false, microBatches }))];
    if (microBatches > 1)
      gradients.push(await compile(buildGradients(spec, { checkpointing, accumulate: true, microBatches })));
    const update = await compile(buildUpdate(spec, options));
    const model = await createModel(spec, { runtime, buffers: weights });
    return new Trainer(options, model, buffers, [...weights.keys()], gradients, update);
  }

  /** Steps done. */
  get step(): number {
    return this.#step;
  }

  /** Tokens that one step consumes. */
  get tokensPerStep(): number {
    const { batches, accumulation } = this.#options;
    return batches.batch * batches.length * accumulation;
  }

  /** Bytes of memory for values in flight of the largest program. */
  get arenaBytes(): number {
    return Math.max(...this.#gradients.map((program) => program.arenaBytes));
  }

  /**
   * One optimiser step on the next batches.
   * @throws DivergedError when loss or gradients are not finite, naming the step and the tensors; weights stay as they were.
   */
  async trainStep(learningRate: number): Promise<StepResult> {
    const { accumulation, gradientClip, batches, betas } = this.#options;
    const step = this.#step + 1;
    let loss = 0;
    let gradientNorm = 0;
    const routers: Record<string, number> = {};
    for (let micro = 0; micro < accumulation; micro++) {
      const program = this.#gradients[Math.min(micro, this.#gradients.length - 1)];
      const outputs = await program?.run(this.#inputs(batches.next()));
      const [value, norm] = [outputs?.loss?.[0] ?? Number.NaN, outputs?.gradient_norm?.[0] ?? Number.NaN];
      if (!Number.isFinite(value)) throw new DivergedError(step, `the loss is ${value}${await this.#culprits()}`);
      loss += value / accumulation;
      for (const name of ROUTER_FACTS) {
        const fact = outputs?.[name]?.[0];
        if (fact !== undefined) routers[name] = (routers[name] ?? 0) + fact / accumulation;
      }
      gradientNorm = norm;
    }
    if (!Number.isFinite(gradientNorm)) {
      throw new DivergedError(step, `the gradient's norm is ${gradientNorm}${await this.#culprits()}`);
    }
    const scale = gradientClip > 0 && gradientNorm > gradientClip ? gradientClip / gradientNorm : 1;
    await this.#update.run({
      hyper: Float32Array.of(learningRate, 1 - betas[0] ** step, 1 - betas[1] ** step, 0),
      gradient_scale: Float32Array.of(scale),
    });
    this.#step = step;
    return { step, loss, gradientNorm, routers };
  }

  /** Loss and accuracy over batches of the training shape; positions whose target is ignored do not count. */
  async evaluate(batches: readonly Batch[]): Promise<EvaluationResult> {
    const { batch, length } = this.#options.batches;
    const { prefix_tokens: prefix } = this.spec.embedding;
    this.#evaluation ??= await this.runtime.compile(optimise(buildLoss(this.spec)), {
      bindings: { B: batch, T: prefix + length, C: prefix + length },
      buffers: this.#buffers,
    });
    let total = 0;
    const accuracy: Accuracy = { correct: 0, scored: 0, rowsCorrect: 0, rowsScored: 0 };
    for (const data of batches) {
      const { loss, logits: all } = await this.#evaluation.run(this.#inputs(data));
      if (!(all instanceof Float32Array)) throw new Error("the evaluation computed no logits");
      const vocabulary = this.spec.vocab_size;
      const logits = withoutPrefix(all, prefix + length, prefix, vocabulary);
      const predictions = Int32Array.from(data.targets, (target, i) =>
        target === IGNORED_TARGET ? 0 : argMax(logits.subarray(i * vocabulary, (i + 1) * vocabulary)),
      );
      const counts = countCorrect(predictions, data.targets, length);
      total += (loss?.[0] ?? Number.NaN) * counts.scored;
      for (const key of ["correct", "scored", "rowsCorrect", "rowsScored"] as const) accuracy[key] += counts[key];
    }
    return { loss: total / Math.max(1, accuracy.scored), accuracy };
  }

  /** Everything that is needed to go on exactly from here. */
  async checkpoint(run: unknown): Promise<Checkpoint> {
    const group = async (bufferName: (name: string) => string): Promise<Map<string, CheckpointTensor>> => {
      const tensors = new Map<string, CheckpointTensor>();
      for (const name of this.#parameters) {
        const buffer = this.#buffer(bufferName(name));
        tensors.set(name, { dtype: "F32", shape: buffer.shape, data: (await buffer.read()) as Float32Array });
      }
      return tensors;
    };
    return {
      step: this.#step,
      specHash: specHash(this.spec),
      random: {},
      data: this.#options.batches.position(),
      run,
      groups: {
        weights: await group((name) => name),
        m: await group((name) => momentName("m", name)),
        v: await group((name) => momentName("v", name)),
      },
    };
  }

  /** Goes to where a checkpoint was taken. @throws CheckpointError when it belongs to another architecture. */
  restore(checkpoint: Checkpoint, name?: string): void {
    requireSameSpec(checkpoint, specHash(this.spec), name);
    const expected = new Map(
      this.#parameters.map(
        (parameter) => [parameter, { dtype: "F32" as const, shape: this.#buffer(parameter).shape }] as const,
      ),
    );
    const { weights = new Map(), m = new Map(), v = new Map() } = checkpoint.groups;
    for (const group of [weights, m, v]) requireTensors(group, expected, name);
    this.#options.batches.restore(checkpoint.data);
    for (const parameter of this.#parameters) {
      this.#buffer(parameter).write(weights.get(parameter)?.data as HostArray);
      this.#buffer(momentName("m", parameter)).write(m.get(parameter)?.data as HostArray);
      this.#buffer(momentName("v", parameter)).write(v.get(parameter)?.data as HostArray);
    }
    this.#step = checkpoint.step;
  }

  async close(): Promise<void> {
    await this.model.close();
    for (const program of [...this.#gradients, this.#update]) program.free();
    this.#evaluation?.free();
    for (const buffer of this.#buffers.values()) buffer.free();
  }

  #buffer(name: string): Buffer {
    const buffer = this.#buffers.get(name);
    if (buffer === undefined) throw new Error(`no buffer ${name}`);
    return buffer;
  }

  #inputs({ tokens, targets }: Batch): Record<string, HostArray> {
    requireTokenRange(tokens, this.spec.vocab_size, "the training data");
    const scored = targets.map((target) => (target === IGNORED_TARGET ? 0 : target));
    requireTokenRange(scored, this.spec.vocab_size, "the training targets");
    const { length } = this.#options.batches;
    const { prefix_tokens: prefix } = this.spec.embedding;
    if (prefix > 0) {
      const unscored = new Int32Array(prefix).fill(IGNORED_TARGET);
      return {
        tokens: withPrefix(tokens, length, prefixIds(this.spec, 1)),
        targets: withPrefix(targets, length, unscored),
      };
    }
    if (this.spec.positions === null) return { tokens, targets };
    return { tokens, targets, positions: tokens.map((_, i) => i % length) };
  }

  /** Names of the first tensors that are not finite. */
  async #culprits(): Promise<string> {
    const found: string[] = [];
    for (const name of [...this.#parameters, ...this.#parameters.map(gradientName)]) {
      const values = await this.#buffer(name).read();
      if (!values.every(Number.isFinite)) found.push(name);
    }
    if (found.length === 0) return "";
    return ` (not finite: ${found.slice(0, 4).join(", ")}${found.length > 4 ? ` and ${found.length - 4} more` : ""})`;
  }
}
