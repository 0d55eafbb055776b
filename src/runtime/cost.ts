// What a node costs once its symbols are bound, from the op's own cost facet.
import { type Bindings, type BoundType, bindType, bytesOf } from "../graph/shape.ts";
import { type Cost, type Graph, type Node, nodeName } from "../graph/types.ts";

export function nodeCost(node: Node, bindings: Bindings): Cost & { readonly node: string; readonly op: string } {
  const inputs = node.inputs.map((input) => (input === undefined ? undefined : bindType(input, bindings)));
  const outputs = node.outputs.map((output) => bindType(output, bindings));
  const attributes = node.op.bind?.(node.attributes, bindings) ?? node.attributes;
  const total = (types: readonly (BoundType | undefined)[]): number =>
    types.reduce((sum, type) => sum + (type === undefined ? 0 : bytesOf(type)), 0);
  return {
    node: nodeName(node),
    op: node.op.name,
    flops: node.op.flops(inputs, outputs, attributes),
    bytes: node.op.bytes?.(inputs, outputs, attributes) ?? total(inputs) + total(outputs),
  };
}

/** Work of one run of a whole graph. */
export function graphCost(graph: Graph, bindings: Bindings): Cost {
  let flops = 0;
  let bytes = 0;
  for (const node of graph.nodes) {
    if (node.op.leaf !== undefined) continue;
    const cost = nodeCost(node, bindings);
    flops += cost.flops;
    bytes += cost.bytes;
  }
  return { flops, bytes };
}
