// What depends on parameters only is the same in every call of a model whose weights stay as they are. This pass takes it
// out of the graph: a graph of its own computes it once, and the model reads the results like parameters.
import { leafName, makeGraph, rewriteGraph, usesOf } from "../../graph/graph.ts";
import { parameter } from "../../graph/leaves.ts";
import type { Graph, NamedTensor, Node, Tensor } from "../../graph/types.ts";

export interface FoldedGraph {
  readonly graph: Graph;
  /**
   * Computes the parameters that were added to `graph`: one output for each, of the same name. Equal computations have
   * equal names, in whichever graph they occur. Undefined when there is nothing to compute.
   */
  readonly prologue: Graph | undefined;
}

/** Splits a graph into what has to be computed once per set of weights and what has to be computed in every call. */
export function foldParameters(graph: Graph): FoldedGraph {
  const keys = new Map<Node, string>();
  /** Nodes that compute something: reshaping a parameter is free, and its result not worth keeping twice. */
  const working = new Set<Node>();
  for (const node of graph.nodes) {
    const key = keyOf(node, keys);
    if (key === undefined) continue;
    keys.set(node, key);
    const inherited = node.inputs.some((input) => input !== undefined && working.has(input.node));
    if (inherited || (node.op.leaf === undefined && !node.op.view)) working.add(node);
  }
  const { readers } = usesOf(graph);
  const folded: NamedTensor[] = [];
  const nameOf = (tensor: Tensor): string | undefined => {
    const key = keys.get(tensor.node);
    const leaves = (readers.get(tensor) ?? []).some((reader) => !keys.has(reader));
    return key !== undefined && working.has(tensor.node) && leaves ? `${key}.${tensor.index}` : undefined;
  };
  const names = new Set<string>();
  const rest = rewriteGraph(graph, (node) => {
    const outputs = node.outputs.map((tensor) => {
      const name = nameOf(tensor);
      if (name === undefined || names.has(name)) return tensor;
      names.add(name);
      folded.push({ name, tensor });
      return parameter(name, tensor.shape as readonly number[], { kind: "zeros" }, { decay: false });
    });
    return outputs.some((tensor, i) => tensor !== node.outputs[i]) ? outputs : undefined;
  });
  return folded.length === 0
    ? { graph, prologue: undefined }
    : { graph: rest, prologue: makeGraph({ outputs: folded }) };
}

/** What a node computes, written out; undefined if it depends on more than parameters, or its size on that of the call. */
function keyOf(node: Node, keys: ReadonlyMap<Node, string>): string | undefined {
  if (node.op.leaf === "parameter") return leafName(node);
  if (node.op.leaf === "constant") return JSON.stringify(node.attributes);
  if (node.op.leaf !== undefined || node.inputs.length === 0) return undefined;
  if (node.outputs.some(({ shape }) => shape.some((dim) => typeof dim !== "number"))) return undefined;
  const inputs: string[] = [];
  for (const input of node.inputs) {
    const key = input === undefined ? "" : keys.get(input.node);
    if (key === undefined) return undefined;
    inputs.push(`${key}.${input?.index ?? 0}`);
  }
  return `${node.op.name}(${inputs.join(", ")})${JSON.stringify(node.attributes)}`;
}
