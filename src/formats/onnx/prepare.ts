// From a model's graph to the one that is written: what depends on weights alone is computed now, products and convolutions
// that stand side by side become one, and a reader gives the weights that come of it.
import { leafName, nodesOf, rewriteGraph } from "../../graph/graph.ts";
import { type ConstantAttributes, parameter } from "../../graph/leaves.ts";
import type { Graph, Node, Tensor } from "../../graph/types.ts";
import { type FoldedGraph, foldParameters } from "../../ops/passes/fold-parameters.ts";
import { hoistParameters } from "../../ops/passes/hoist-parameters.ts";
import { mergeConvolutions } from "../../ops/passes/merge-convolutions.ts";
import { joinedName, mergeProducts } from "../../ops/passes/merge-products.ts";
import { finish, foldByReference, prepare } from "../../ops/passes/optimise.ts";
import { computeReference } from "../../ops/references.ts";
import { type HostTensor, required } from "../../ops/types.ts";
import type { ReadWeight } from "./emit.ts";
import { after, type Eventual } from "./eventual.ts";

export interface PreparedGraph {
  readonly graph: Graph;
  /** Reads any parameter of `graph`, and holds none. */
  readonly weight: ReadWeight;
}

/** @param windowsApart whether convolutions side by side keep states of their own, and so stay apart */
export function prepareGraph(graph: Graph, weight: ReadWeight, windowsApart = false): PreparedGraph {
  const folded = foldParameters(hoistParameters(finish(prepare(graph))));
  const { graph: named, computed } = nameComputed(folded);
  const products = mergeProducts(named);
  const convolutions = windowsApart ? { graph: products.graph, joined: [] } : mergeConvolutions(products.graph);
  const joined = new Map([...products.joined, ...convolutions.joined]);
  const read: ReadWeight = (name) => {
    const tensor = computed.get(name);
    if (tensor !== undefined) return compute(tensor, read);
    const parts = joined.get(name);
    return parts === undefined ? weight(name) : after(all(parts.map(read)), join);
  };
  return { graph: foldByReference(convolutions.graph), weight: read };
}

/** Names for what was folded, after the weights that it is computed from. */
function nameComputed({ graph, prologue }: FoldedGraph): {
  readonly graph: Graph;
  readonly computed: ReadonlyMap<string, Tensor>;
} {
  const computed = new Map<string, Tensor>();
  const names = new Map<string, string>();
  for (const { name, tensor } of prologue?.outputs ?? []) {
    const read = nodesOf([tensor]).filter(({ op }) => op.leaf === "parameter");
    const base = `${joinedName(read.map(leafName))}.computed`;
    let unique = base;
    for (let i = 1; computed.has(unique); i++) unique = `${base}.${i}`;
    computed.set(unique, tensor);
    names.set(name, unique);
  }
  const renamed = rewriteGraph(graph, (node) => {
    const name = node.op.leaf === "parameter" ? names.get(leafName(node)) : undefined;
    const shape = node.outputs[0]?.shape as readonly number[];
    return name === undefined ? undefined : [parameter(name, shape, { kind: "zeros" }, { decay: false })];
  });
  return { graph: renamed, computed };
}

/** The values of a tensor that depends on parameters only. */
function compute(wanted: Tensor, weight: ReadWeight): Eventual<Float32Array> {
  const nodes = nodesOf([wanted]);
  const names = nodes.filter(({ op }) => op.leaf === "parameter").map(leafName);
  return after(all(names.map(weight)), (values) => {
    const read = new Map(names.map((name, i) => [name, values[i]]));
    const results = new Map<Tensor, HostTensor>();
    for (const node of nodes) {
      const inputs = node.inputs.map((input) => input && results.get(input));
      const outputs =
        node.op.leaf === undefined ? computeReference(node, inputs, node.attributes) : [leafValue(node, read)];
      for (const [i, output] of node.outputs.entries()) results.set(output, required(outputs[i], node.op.name));
    }
    return Float32Array.from(required(results.get(wanted), "the result").data);
  });
}

function leafValue(node: Node, read: ReadonlyMap<string, Float32Array | undefined>): HostTensor {
  const { dtype, shape } = required(node.outputs[0], node.op.name);
  const isConstant = node.op.leaf === "constant";
  const values = isConstant
    ? (node.attributes as ConstantAttributes).values
    : required(read.get(leafName(node)), "values");
  const data = dtype === "i32" ? Int32Array.from(values) : Float64Array.from(values);
  return { shape: shape as readonly number[], dtype, data };
}

/** All of `values`, at once where all are there. */
function all<T>(values: readonly Eventual<T>[]): Eventual<T[]> {
  const there = values.filter((value): value is T => !(value instanceof Promise));
  return there.length === values.length ? there : Promise.all(values);
}

function join(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let end = 0;
  for (const part of parts) {
    whole.set(part, end);
    end += part.length;
  }
  return whole;
}
