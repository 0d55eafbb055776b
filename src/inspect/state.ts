// What a model carries from token to token, by kind, as a function of the context.
import { bindShape, type Shape, sizeOf } from "../graph/shape.ts";
import type { Graph, StateBinding } from "../graph/types.ts";

/** Bytes for one sequence. */
export interface StateReport {
  /** States of SSMs, linear attention and recurrent units. */
  readonly ssm: number;
  /** The last inputs of short convolutions. */
  readonly convolution: number;
  /** Keys and values of attention. */
  readonly kv_cache: number;
  readonly total: number;
}

export type StateKind = Exclude<keyof StateReport, "total">;

/** The kind of a state follows from the op that makes its next value; any other op is a recurrence of its own. */
const kinds: ReadonlyMap<string, StateKind> = new Map([
  ["attention", "kv_cache"],
  ["causal_conv", "convolution"],
]);

/** A tensor that is carried: its kind, the layer it belongs to, and its symbolic shape. */
export interface StateEntry {
  readonly name: string;
  readonly kind: StateKind;
  readonly layer: number;
  readonly shape: Shape;
}

function kindOf({ output }: StateBinding): StateKind {
  let { node } = output;
  for (let source = node.inputs[0]; node.op.view && source !== undefined; source = node.inputs[0]) node = source.node;
  return kinds.get(node.op.name) ?? "ssm";
}

/** The states of a stateful graph. */
export function statesOf(graph: Graph): StateEntry[] {
  return graph.states.map((binding) => ({
    name: binding.name,
    kind: kindOf(binding),
    layer: Number(binding.name.split(".")[1]),
    shape: binding.input.shape,
  }));
}

/** Bytes of states for one sequence whose full-attention caches hold `context` keys. */
export function stateReport(states: readonly StateEntry[], context: number): StateReport {
  const report = { ssm: 0, convolution: 0, kv_cache: 0, total: 0 };
  for (const { kind, shape } of states) {
    const bytes = 4 * sizeOf(bindShape(shape, { B: 1, T: 1, C: context }));
    report[kind] += bytes;
    report.total += bytes;
  }
  return report;
}
