// Elementwise fusion: a map whose result only feeds another map becomes part of that map's expression.

import type { Expression } from "../../graph/expression.ts";
import * as ex from "../../graph/expression.ts";
import { rewriteGraph, usesOf } from "../../graph/graph.ts";
import { sameShape } from "../../graph/shape.ts";
import type { Graph, Node, Tensor } from "../../graph/types.ts";
import { map, mapOp } from "../map/op.ts";

/** Inputs of one map: more streams than this thrash the registers of the interpreter and the bindings of a GPU. */
const mostInputs = 6;
/** Calls in one expression, beyond which fusing stops paying. */
const mostCalls = 48;

function expressionOf(node: Node): Expression {
  return (node.attributes as { readonly expression: Expression }).expression;
}

export function fuseMaps(graph: Graph): Graph {
  const { readers, leaving } = usesOf(graph);
  return rewriteGraph(graph, (node, inputs) => {
    if (node.op.name !== mapOp.name) return undefined;
    const operands = inputs.filter((tensor) => tensor !== undefined);
    let expression = expressionOf(node);
    let changed = false;
    for (const [i, original] of node.inputs.entries()) {
      const producer = operands[i];
      if (original === undefined || producer === undefined || producer.node.op.name !== mapOp.name) continue;
      const inner = expressionOf(producer.node);
      const { calls, dear } = ex.complexity(inner);
      const used =
        new Set((readers.get(original) ?? []).map((reader) => reader.id)).size + (leaving.get(original) ?? 0);
      const innerInputs = producer.node.inputs.filter((tensor): tensor is Tensor => tensor !== undefined);
      // A result with several readers is worth computing again only where that costs next to nothing and reads no more.
      const worthwhile =
        used === 1
          ? sameShape(producer.shape, node.outputs[0]?.shape ?? []) || (dear === 0 && calls <= 2)
          : dear === 0 && calls <= 1 && innerInputs.length <= 1;
      if (!worthwhile) continue;
      const merged = new Set([...operands.filter((_, j) => j !== i), ...innerInputs]);
      if (merged.size > mostInputs || ex.complexity(expression).calls + calls > mostCalls) continue;
      const offset = operands.length;
      const replacements: Expression[] = operands.map((_, j) => ex.input(j));
      replacements[i] = ex.substitute(
        inner,
        innerInputs.map((_, j) => ex.input(offset + j)),
      );
      expression = ex.substitute(expression, replacements);
      operands.push(...innerInputs);
      changed = true;
    }
    return changed ? [map(operands, expression)] : undefined;
  });
}
