// What an architecture costs before any weight exists: parameters, FLOPs per token and bytes of state, read off the cost
// facets of the very graphs that would run. Sizes are bound, nothing is allocated.
import { buildForward } from "../blocks/model.ts";
import { lowerBound, plan } from "../graph/plan.ts";
import type { Graph } from "../graph/types.ts";
import { ModelError } from "../model/error.ts";
import { optimise } from "../ops/passes/optimise.ts";
import { patternOf } from "../spec/compress.ts";
import type { ArchitectureSpec, ResolvedLayer } from "../spec/types.ts";
import { buildGradients } from "../train/step.ts";
import {
  activeSize,
  type PartReport,
  parametersByPart,
  parametersByScope,
  sizeOfParameter,
  usedShares,
} from "./parts.ts";
import { isShared } from "./stack.ts";
import { type StateEntry, type StateReport, stateReport, statesOf } from "./state.ts";
import { OUTSIDE, type Tally, tally } from "./tally.ts";

/** Floating point operations for one token; a multiply-add counts 2. */
export interface FlopsReport {
  /** Forward and backward pass over a sequence of the context's length, averaged; the optimiser's update is not counted. */
  readonly training: number;
  /** Reading a prompt of the context's length, averaged, with logits of its last token only. */
  readonly prefill: number;
  /** The last token of the context, by one step. */
  readonly decode: number;
}

/** Bytes for training on one sequence of the context's length. */
export interface TrainingMemoryReport {
  /** Weights, gradients and the two moments of AdamW. */
  readonly parameters: number;
  /** Values in flight: the most that is alive at one step, the least an arena can be. */
  readonly activations: number;
  readonly total: number;
}

export interface ContextReport {
  /** Tokens. */
  readonly context: number;
  readonly flops_per_token: FlopsReport;
  /** Memory traffic of one decoding step: what bounds its speed on most machines. */
  readonly decode_bytes: number;
  /** For one sequence. */
  readonly state: StateReport;
  readonly training_memory: TrainingMemoryReport;
}

export interface LayerReport {
  readonly index: number;
  /** Name under `blocks`, or the text of a parallel group. */
  readonly block: string;
  /** Types of mixers and FFNs, one for each branch. */
  readonly operators: readonly string[];
  /** Parameters that this layer uses; layers that share weights each count them. */
  readonly parameters: number;
  /** Of those, what one token uses: of experts only the ones it is sent to. */
  readonly active_parameters: number;
  /** Scope of the weights where other layers share them. */
  readonly shared: string | null;
  /** At the first context. */
  readonly flops_per_token: FlopsReport;
  readonly state: StateReport;
}

/** Share of an op in the FLOPs, 0 to 1, at the first context. */
export interface OpReport {
  readonly op: string;
  readonly training: number;
  readonly prefill: number;
  readonly decode: number;
}

/** Everything that `hybraid inspect --json` prints. Bytes are those of float32. */
export interface Inspection {
  readonly name: string;
  readonly description: string;
  readonly d_model: number;
  readonly vocab_size: number;
  readonly pattern: string;
  readonly parameters: {
    readonly total: number;
    /** What one token uses: of experts only the ones it is sent to. */
    readonly active: number;
    readonly bytes: number;
    readonly parts: readonly PartReport[];
  };
  readonly layers: readonly LayerReport[];
  /** Everything outside of layers at the first context: embedding, head, loss. */
  readonly outside: { readonly parameters: number; readonly flops_per_token: FlopsReport };
  readonly ops: readonly OpReport[];
  readonly contexts: readonly ContextReport[];
}

/** The graphs of a model, ready to be bound to any sizes. */
export interface Estimator {
  readonly spec: ArchitectureSpec;
  readonly parameters: Graph["parameters"];
  /** Share of a parameter that one token uses, where that is not the whole. */
  readonly used: ReadonlyMap<string, number>;
  readonly states: readonly StateEntry[];
  /** Costs of the whole run that each kind of work stands for, and for how many tokens that is. */
  tallies(context: number): { readonly [W in keyof FlopsReport]: { readonly tally: Tally; readonly tokens: number } };
  at(context: number): ContextReport;
}

/** Builds the graphs of a model once, for reports at any number of contexts. */
export function createEstimator(spec: ArchitectureSpec): Estimator {
  const step = optimise(buildForward(spec, { stateful: true, lastOnly: true }));
  const gradients = buildGradients(spec, { checkpointing: false, accumulate: false, microBatches: 1 });
  const states = statesOf(step);
  const parameterBytes = 4 * gradients.parameters.reduce((sum, parameter) => sum + sizeOfParameter(parameter), 0);

  const tallies: Estimator["tallies"] = (context) => ({
    training: { tally: tally(gradients, { B: 1, T: context, C: context }), tokens: context },
    // C is what the cache holds before the call: nothing before a prompt, all but the newest token when decoding.
    prefill: { tally: tally(step, { B: 1, T: context, C: 0 }), tokens: context },
    decode: { tally: tally(step, { B: 1, T: 1, C: context - 1 }), tokens: 1 },
  });

  const at = (context: number): ContextReport => {
    requireContext(spec, context);
    const work = tallies(context);
    const { requests } = plan(gradients, { B: 1, T: context, C: context });
    const memory = { parameters: 4 * parameterBytes, activations: lowerBound(requests, 64) };
    return {
      context,
      flops_per_token: perToken(work, (tallied) => tallied.flops),
      decode_bytes: work.decode.tally.bytes,
      state: stateReport(states, context),
      training_memory: { ...memory, total: memory.parameters + memory.activations },
    };
  };
  return { spec, parameters: gradients.parameters, used: usedShares(step), states, tallies, at };
}

function perToken(work: ReturnType<Estimator["tallies"]>, value: (tallied: Tally) => number): FlopsReport {
  const { training, prefill, decode } = work;
  return {
    training: value(training.tally) / training.tokens,
    prefill: value(prefill.tally) / prefill.tokens,
    decode: value(decode.tally) / decode.tokens,
  };
}

function requireContext(spec: ArchitectureSpec, context: number): void {
  if (!Number.isSafeInteger(context) || context < 1)
    throw new ModelError(`a context of ${context} is not a number of tokens`);
  const limit = spec.positions?.max_length ?? Number.POSITIVE_INFINITY;
  if (context > limit) {
    throw new ModelError(`${spec.name} has learned positions for ${limit} tokens; a context of ${context} is too long`);
  }
}

/** Contexts that reports show when nobody asks for others: as many of them as the model can take. */
export function usualContexts(spec: ArchitectureSpec): number[] {
  const limit = spec.positions?.max_length ?? Number.POSITIVE_INFINITY;
  const fitting = [2048, 8192, 32768, 131072].filter((context) => context <= limit);
  return fitting.length > 0 ? fitting : [limit];
}

export interface InspectOptions {
  /** Tokens; layers and ops are reported at the first one. Default {@link usualContexts}. */
  readonly contexts?: readonly number[] | undefined;
}

/**
 * Counts what a model of `spec` needs, for one sequence in float32.
 * @throws ModelError for contexts that are no positive whole numbers or exceed learned positions.
 */
export function inspect(spec: ArchitectureSpec, options: InspectOptions = {}): Inspection {
  const given = options.contexts ?? [];
  return inspectWith(createEstimator(spec), given.length > 0 ? given : usualContexts(spec));
}

/** {@link inspect} with graphs that are already built. */
export function inspectWith(estimator: Estimator, contexts: readonly number[]): Inspection {
  const { spec, parameters, used, states } = estimator;
  const reports = contexts.map((context) => estimator.at(context));
  const [first = 1] = contexts;
  const work = estimator.tallies(first);
  const byScope = parametersByScope(parameters);
  const activeByScope = parametersByScope(parameters, (parameter) => activeSize(parameter, used));
  const active = [...activeByScope.values()].reduce((sum, size) => sum + size, 0);
  const total = parameters.reduce((sum, parameter) => sum + sizeOfParameter(parameter), 0);
  // A layer that uses shared weights may have some of its own beside them.
  const scopesOf = ({ index, weights }: ResolvedLayer): Set<string> => new Set([weights, `layers.${index}`]);
  const inScopes = (sizes: ReadonlyMap<string, number>, scopes: Iterable<string>): number =>
    [...scopes].reduce((sum, scope) => sum + (sizes.get(scope) ?? 0), 0);
  return {
    name: spec.name,
    description: spec.description,
    d_model: spec.d_model,
    vocab_size: spec.vocab_size,
    pattern: patternOf(spec.layers),
    parameters: { total, active, bytes: 4 * total, parts: parametersByPart(spec, parameters) },
    layers: spec.layers.map((layer) => ({
      index: layer.index,
      block: layer.block,
      operators: layer.branches.map((branch) => branch.operator.type),
      parameters: inScopes(byScope, scopesOf(layer)),
      active_parameters: inScopes(activeByScope, scopesOf(layer)),
      shared: isShared(layer) ? layer.weights : null,
      flops_per_token: perToken(work, (tallied) => tallied.layers.get(layer.index) ?? 0),
      state: stateReport(
        states.filter((state) => state.layer === layer.index),
        first,
      ),
    })),
    outside: {
      parameters: total - inScopes(byScope, new Set(spec.layers.flatMap((layer) => [...scopesOf(layer)]))),
      flops_per_token: perToken(work, (tallied) => tallied.layers.get(OUTSIDE) ?? 0),
    },
    ops: opShares(work),
    contexts: reports,
  };
}

function opShares({ training, prefill, decode }: ReturnType<Estimator["tallies"]>): OpReport[] {
  const share = (tallied: Tally, op: string): number => (tallied.ops.get(op) ?? 0) / Math.max(1, tallied.flops);
  const names = new Set([training, prefill, decode].flatMap((work) => [...work.tally.ops.keys()]));
  return [...names]
    .map((op) => ({
      op,
      training: share(training.tally, op),
      prefill: share(prefill.tally, op),
      decode: share(decode.tally, op),
    }))
    .filter((row) => row.training + row.prefill + row.decode > 0)
    .sort((a, b) => b.training - a.training || b.prefill - a.prefill || (a.op < b.op ? -1 : 1));
}
