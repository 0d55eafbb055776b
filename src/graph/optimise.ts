// Passes that need no knowledge of particular ops: common subexpressions and constant folding.
// (Dead code never survives: makeGraph keeps only what the results depend on.)
import { rewriteGraph } from "./graph.ts";
import { constant } from "./leaves.ts";
import { apply, type Graph, type Node, type Tensor } from "./types.ts";

/** Merges nodes that apply the same op with the same attributes to the same inputs. */
export function mergeCommonSubexpressions(graph: Graph): Graph {
  const seen = new Map<string, readonly Tensor[]>();
  const ids = new Map<Tensor, number>();
  const idOf = (tensor: Tensor): number => {
    let id = ids.get(tensor);
    if (id === undefined) {
      id = ids.size;
      ids.set(tensor, id);
    }
    return id;
  };
  return rewriteGraph(graph, (node, inputs) => {
    if (node.op.leaf !== undefined && node.op.leaf !== "constant") return undefined;
    const operands = inputs.map((input) => (input === undefined ? "-" : idOf(input))).join(",");
    const key = `${node.op.name}(${operands})${JSON.stringify(node.attributes)}`;
    const earlier = seen.get(key);
    if (earlier !== undefined) return earlier;
    const unchanged = inputs.every((input, i) => input === node.inputs[i]);
    const outputs = unchanged ? node.outputs : apply(node.op, inputs, node.attributes);
    seen.set(key, outputs);
    return outputs;
  });
}

/** Evaluates a node whose inputs are all constants; undefined when it can't be done. */
export type Evaluator = (node: Node, inputs: readonly Tensor[]) => readonly number[] | undefined;

/** Largest constant that folding creates, in elements: beyond it, computing is cheaper than storing. */
const largestConstant = 4096;

/** Replaces single-output nodes that depend on constants only by their value. */
export function foldConstants(graph: Graph, evaluate: Evaluator): Graph {
  return rewriteGraph(graph, (node, inputs) => {
    const [output] = node.outputs;
    if (node.op.leaf !== undefined || output === undefined || node.outputs.length !== 1 || inputs.length === 0)
      return undefined;
    const constants = inputs.filter((input) => input?.node.op.leaf === "constant");
    if (constants.length !== inputs.length) return undefined;
    const shape = output.shape.filter((dim) => typeof dim === "number");
    if (shape.length !== output.shape.length || shape.reduce((n, d) => n * d, 1) > largestConstant) return undefined;
    const values = evaluate(node, constants as Tensor[]);
    return values === undefined ? undefined : [constant(values, shape, output.dtype)];
  });
}
