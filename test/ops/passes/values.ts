// Graphs by the reference runtime, with values that depend on nothing but the names of leaves: what a pass makes of a graph must
// compute the same numbers from the same weights.
import { leafName } from "../../../src/graph/graph.ts";
import { type Bindings, bindType, type DType } from "../../../src/graph/shape.ts";
import type { Graph, Node } from "../../../src/graph/types.ts";
import { type HostTensor, required } from "../../../src/ops/types.ts";
import { evaluateGraph } from "../../../src/runtime/reference/runtime.ts";

/** Numbers between −1 and 1 that a name decides. */
export function named(name: string, size: number): Float64Array {
  const seed = [...name].reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) % 9973, 7);
  return Float64Array.from({ length: size }, (_, i) => Math.sin(seed + 12.9898 * (i + 1)));
}

export const host = (shape: readonly number[], data: Float64Array | Int32Array): HostTensor => ({
  shape,
  dtype: (data instanceof Int32Array ? "i32" : "f32") satisfies DType,
  data,
});

export const bindings: Bindings = { B: 2, T: 3, C: 1 };

/** The value of a leaf of sizes `bindings`. */
export function leafValue(node: Node): HostTensor {
  const { shape, dtype } = bindType(required(node.outputs[0], "leaf"), bindings);
  const size = shape.reduce((product, dim) => product * dim, 1);
  const data = named(leafName(node), size);
  return host(shape, dtype === "i32" ? Int32Array.from(data, (x) => Math.floor(2 + 2 * x)) : data);
}

/** The leaf, or, where it is several that were joined along their first axis, these one after the other. */
export function joinedValue(node: Node, joined: ReadonlyMap<string, readonly string[]>, sizes: Sizes): HostTensor {
  const parts = joined.get(leafName(node));
  if (parts === undefined) return leafValue(node);
  const { shape } = required(node.outputs[0], "leaf");
  const data = parts.flatMap((part) => [...named(part, required(sizes.get(part), part))]);
  return host(shape as readonly number[], Float64Array.from(data));
}

export type Sizes = ReadonlyMap<string, number>;

/** How many elements each parameter has. */
export const sizesOf = (graph: Graph): Sizes =>
  new Map(graph.parameters.map(({ name, tensor }) => [name, tensor.shape.reduce<number>((n, d) => n * Number(d), 1)]));

/** Outputs and next states by name. */
export function compute(graph: Graph, leaf: (node: Node) => HostTensor = leafValue): Record<string, number[]> {
  const values = evaluateGraph(graph, bindings, leaf);
  const results = [...graph.outputs, ...graph.states.map(({ name, output }) => ({ name, tensor: output }))];
  return Object.fromEntries(results.map(({ name, tensor }) => [name, [...required(values.get(tensor), name).data]]));
}

/** How often an op stands in a graph. */
export const countOf = (graph: Graph, op: string): number => graph.nodes.filter((node) => node.op.name === op).length;
