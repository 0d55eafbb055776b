// Adds up what the nodes of a graph cost, by op and by layer. Only types are bound: nothing is allocated or run.
import type { Bindings } from "../graph/shape.ts";
import type { Graph } from "../graph/types.ts";
import { nodeCost } from "../runtime/cost.ts";

/** Costs of one run of a graph. */
export interface Tally {
  readonly flops: number;
  /** Memory traffic: every input of every op read once, every output written once. */
  readonly bytes: number;
  /** FLOPs by name of op. */
  readonly ops: ReadonlyMap<string, number>;
  /** FLOPs by index of layer; what lies outside of layers (embedding, head, loss) is under -1. */
  readonly layers: ReadonlyMap<number, number>;
}

/** Key of {@link Tally.layers} for everything outside of layers. */
export const OUTSIDE = -1;

/** The layer that a scope such as `layers.3.mixer` belongs to. */
function layerOf(scope: string): number {
  const index = /^layers\.(\d+)(?:\.|$)/.exec(scope)?.[1];
  return index === undefined ? OUTSIDE : Number(index);
}

export function tally(graph: Graph, bindings: Bindings): Tally {
  const ops = new Map<string, number>();
  const layers = new Map<number, number>();
  let flops = 0;
  let bytes = 0;
  for (const node of graph.nodes) {
    if (node.op.leaf !== undefined || node.op.view) continue;
    const cost = nodeCost(node, bindings);
    const layer = layerOf(node.scope);
    flops += cost.flops;
    bytes += cost.bytes;
    ops.set(node.op.name, (ops.get(node.op.name) ?? 0) + cost.flops);
    layers.set(layer, (layers.get(layer) ?? 0) + cost.flops);
  }
  return { flops, bytes, ops, layers };
}
