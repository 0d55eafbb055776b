// Activation checkpointing (Chen et al. 2016): what a layer computes on the way forward is not kept for the backward pass
// but computed again from the layer's inputs, just before the layer's gradients need it.
import { nodesOf, rewriteGraph } from "../../graph/graph.ts";
import { apply, type Graph, inScope, type Node, type Tensor } from "../../graph/types.ts";

/** `layers.3.mixer` → `layers.3`: the unit of recomputation. */
function unitOf(node: Node): string {
  const [first, second] = node.scope.split(".");
  return first === "layers" && second !== undefined ? `layers.${second}` : "";
}

/**
 * Recomputes every layer of the forward pass of `loss` in its backward pass; only tensors that pass from one layer to
 * another are kept. Must run after common subexpressions are merged, which would undo it.
 */
export function checkpointLayers(graph: Graph, loss: string): Graph {
  const target = graph.outputs.find((output) => output.name === loss)?.tensor;
  if (target === undefined) return graph;
  const forward = new Set(nodesOf([target]));
  const kept = new Set<Tensor>([target]);
  for (const node of forward) {
    for (const input of node.inputs) if (input !== undefined && unitOf(input.node) !== unitOf(node)) kept.add(input);
    if (node.op.leaf !== undefined || unitOf(node) === "") for (const output of node.outputs) kept.add(output);
  }
  const copies = new Map<Node, readonly Tensor[]>();
  const recompute = (tensor: Tensor): Tensor => {
    if (kept.has(tensor)) return tensor;
    const { node } = tensor;
    let outputs = copies.get(node);
    if (outputs === undefined) {
      const inputs = node.inputs.map((input) => (input === undefined ? undefined : recompute(input)));
      outputs = inScope(node.scope, () => apply(node.op, inputs, node.attributes));
      copies.set(node, outputs);
    }
    return outputs[tensor.index] ?? tensor;
  };
  return rewriteGraph(graph, (node, inputs) => {
    if (forward.has(node) || node.op.leaf !== undefined) return undefined;
    const replaced = inputs.map((input) => (input !== undefined && forward.has(input.node) ? recompute(input) : input));
    // Every backward node is made anew, so that the order of creation stays: recomputation right before its first use.
    return apply(node.op, replaced, node.attributes);
  });
}
