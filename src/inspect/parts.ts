// Which part of a model a parameter belongs to, by its name: src/blocks names parameters after the layer and the branch.

import { leafName } from "../graph/graph.ts";
import { fixedDimAt, sizeOf } from "../graph/shape.ts";
import type { Graph, NamedTensor } from "../graph/types.ts";
import { expertMatmulOp } from "../ops/expert-matmul/op.ts";
import type { ArchitectureSpec, ResolvedLayer } from "../spec/types.ts";

/** `embedding`, `positions`, `head`, `norms`, or the type of a mixer or FFN. */
export interface PartReport {
  readonly part: string;
  readonly parameters: number;
}

/** Number of values of a parameter. */
export const sizeOfParameter = ({ tensor }: NamedTensor): number => sizeOf(tensor.shape as readonly number[]);

/**
 * How much of each parameter one token uses, by name; what is missing here is used as a whole. Experts are used by the k of them
 * that a token is sent to; where several layers share them, by the layer that sends it to most.
 */
export function usedShares(graph: Graph): ReadonlyMap<string, number> {
  const shares = new Map<string, number>();
  for (const { op, inputs } of graph.nodes) {
    const [, weight, indices] = inputs;
    if (op.name !== expertMatmulOp.name || weight?.node.op.leaf !== "parameter" || indices === undefined) continue;
    const name = leafName(weight.node);
    const share = fixedDimAt(indices.shape, -1) / fixedDimAt(weight.shape, 0);
    shares.set(name, Math.max(share, shares.get(name) ?? 0));
  }
  return shares;
}

/** Number of values of a parameter that one token uses. */
export const activeSize = (parameter: NamedTensor, shares: ReadonlyMap<string, number>): number =>
  Math.round(sizeOfParameter(parameter) * (shares.get(parameter.name) ?? 1));

/** What follows `prefix.` in `name`; undefined where it does not start so. */
function after(prefix: string, name: string): string | undefined {
  return name.startsWith(`${prefix}.`) ? name.slice(prefix.length + 1) : undefined;
}

function partInLayer(layer: ResolvedLayer, rest: string): string {
  for (const branch of layer.branches) {
    const inner = after(branch.name, rest);
    if (inner !== undefined) return inner.startsWith("post_norm.") ? "norms" : branch.operator.type;
  }
  return "norms";
}

/** Parameters by part, in the order in which data meets them; the parts add up to the whole model. */
export function parametersByPart(spec: ArchitectureSpec, parameters: readonly NamedTensor[]): PartReport[] {
  const scopes = new Map(
    spec.layers.flatMap((layer) => [layer.weights, `layers.${layer.index}`].map((scope) => [scope, layer] as const)),
  );
  const counts = new Map<string, number>();
  for (const parameter of parameters) {
    const { name } = parameter;
    const [first = "", second = ""] = name.split(".");
    const scope = `${first}.${second}`;
    const layer = scopes.get(scope);
    const part =
      layer !== undefined ? partInLayer(layer, after(scope, name) ?? "") : first === "final_norm" ? "norms" : first;
    counts.set(part, (counts.get(part) ?? 0) + sizeOfParameter(parameter));
  }
  const last = ["norms", "head"];
  const order = (part: string): number => last.indexOf(part);
  return [...counts]
    .map(([part, count]) => ({ part, parameters: count }))
    .sort((a, b) => order(a.part) - order(b.part));
}

/** Parameters by scope of weights, `layers.0` or `shared.S`, each of the size that `size` gives. */
export function parametersByScope(
  parameters: readonly NamedTensor[],
  size: (parameter: NamedTensor) => number = sizeOfParameter,
): Map<string, number> {
  const counts = new Map<string, number>();
  for (const parameter of parameters) {
    const scope = parameter.name.split(".").slice(0, 2).join(".");
    counts.set(scope, (counts.get(scope) ?? 0) + size(parameter));
  }
  return counts;
}
