// Parts of elementwise expressions that read nothing but stored values become maps of their own, so that they can be computed
// once and stored (fold-parameters.ts): −exp(A_log) in Δ · −exp(A_log).
import { call, type Expression, input, mul, neg } from "../../graph/expression.ts";
import { rewriteGraph } from "../../graph/graph.ts";
import type { Graph, Tensor } from "../../graph/types.ts";
import { type MapAttributes, map, mapOp } from "../map/op.ts";

export function hoistParameters(graph: Graph): Graph {
  return rewriteGraph(graph, (node, inputs) => {
    if (node.op.name !== mapOp.name) return undefined;
    const { expression } = node.attributes as MapAttributes;
    const operands = inputs.filter((tensor): tensor is Tensor => tensor !== undefined);
    const isStored = (e: Expression): boolean =>
      e.kind === "constant" ||
      (e.kind === "input"
        ? operands[e.index]?.node.op.leaf === "parameter" || operands[e.index]?.node.op.leaf === "constant"
        : e.args.every(isStored));
    if (expression.kind !== "call" || isStored(expression)) return undefined;
    const hoisted: Tensor[] = [];
    const visit = (e: Expression): Expression => {
      if (e.kind !== "call") return e;
      if (isStored(e)) return input(operands.length + hoisted.push(map(operands, e)) - 1);
      const [product] = e.args;
      // −(x · w) = x · −w
      if (e.fn === "neg" && product?.kind === "call" && product.fn === "mul") {
        const [x, y] = product.args;
        if (x !== undefined && y !== undefined && (isStored(x) || isStored(y)))
          return visit(isStored(y) ? mul(x, neg(y)) : mul(neg(x), y));
      }
      return call(e.fn, ...e.args.map(visit));
    };
    const rest = visit(expression);
    return hoisted.length === 0 ? undefined : [map([...operands, ...hoisted], rest)];
  });
}
