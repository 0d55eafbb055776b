// Making a Graph from the tensors one wants, and rebuilding a graph with some nodes replaced (the basis of every pass).
import type { InputAttributes, ParameterAttributes } from "./leaves.ts";
import { GraphError, sameShape } from "./shape.ts";
import { apply, type Graph, inScope, type NamedTensor, type Node, type StateBinding, type Tensor } from "./types.ts";

export interface GraphRequest {
  readonly outputs: readonly NamedTensor[];
  readonly states?: readonly StateBinding[];
}

/** Every node that `tensors` depend on, in execution order. */
export function nodesOf(tensors: readonly Tensor[]): Node[] {
  const found = new Set<Node>();
  const stack = tensors.map((tensor) => tensor.node);
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (found.has(node)) continue;
    found.add(node);
    for (const input of node.inputs) if (input !== undefined) stack.push(input.node);
  }
  return [...found].sort((a, b) => a.id - b.id);
}

/** Name of an input, parameter or state leaf. */
export function leafName(node: Node): string {
  return (node.attributes as InputAttributes).name;
}

/**
 * The graph that computes `outputs` and the next states. Inputs and parameters are found by walking back from them.
 * @throws GraphError when two different leaves have one name or a next state does not have its state's type.
 */
export function makeGraph({ outputs, states = [] }: GraphRequest): Graph {
  const roots = [...outputs.map((o) => o.tensor), ...states.flatMap((s) => [s.input, s.output])];
  const nodes = nodesOf(roots);
  const leaves = new Map<string, Node>();
  const inputs: NamedTensor[] = [];
  const parameters: NamedTensor[] = [];
  for (const node of nodes) {
    const kind = node.op.leaf;
    const [tensor] = node.outputs;
    if (kind === undefined || kind === "constant" || tensor === undefined) continue;
    const name = leafName(node);
    if (leaves.has(name)) throw new GraphError(`two different leaves are named "${name}"`);
    leaves.set(name, node);
    if (kind === "input") inputs.push({ name, tensor });
    if (kind === "parameter") parameters.push({ name, tensor });
    if (kind === "state" && !states.some((s) => s.input === tensor)) {
      throw new GraphError(`state "${name}" is read but has no next value`);
    }
  }
  for (const { name, input, output } of states) {
    if (!sameShape(input.shape, output.shape) || input.dtype !== output.dtype) {
      throw new GraphError(
        `state "${name}" of shape ${input.shape.join("×")} gets a next value of shape ${output.shape.join("×")}`,
      );
    }
  }
  return { inputs, parameters, states, outputs, nodes };
}

/** Attributes of a parameter leaf. */
export function parameterAttributes(tensor: Tensor): ParameterAttributes {
  return tensor.node.attributes as ParameterAttributes;
}

/**
 * Replacement outputs for a node whose inputs have been rewritten; undefined keeps the node. `current` gives what any
 * tensor of an earlier node has become.
 */
export type Rewrite = (
  node: Node,
  inputs: readonly (Tensor | undefined)[],
  current: (tensor: Tensor) => Tensor,
) => readonly Tensor[] | undefined;

/**
 * Rebuilds a graph from its leaves up, letting `rewrite` replace nodes. Untouched nodes are kept as they are. `states` says
 * what becomes of the states, where it is more than what `current` says.
 */
export function rewriteGraph(
  graph: Graph,
  rewrite: Rewrite,
  states?: (current: (tensor: Tensor) => Tensor) => readonly StateBinding[],
): Graph {
  const replaced = new Map<Tensor, Tensor>();
  const current = (tensor: Tensor): Tensor => replaced.get(tensor) ?? tensor;
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((input) => (input === undefined ? undefined : current(input)));
    const outputs = inScope(node.scope, () => {
      const replacement = rewrite(node, inputs, current);
      if (replacement !== undefined) return replacement;
      const unchanged = inputs.every((input, i) => input === node.inputs[i]);
      return unchanged ? node.outputs : apply(node.op, inputs, node.attributes);
    });
    for (const [i, output] of node.outputs.entries()) {
      const substitute = outputs[i];
      if (substitute !== undefined && substitute !== output) replaced.set(output, substitute);
    }
  }
  return makeGraph({
    outputs: graph.outputs.map(({ name, tensor }) => ({ name, tensor: current(tensor) })),
    states:
      states?.(current) ??
      graph.states.map(({ name, input, output }) => ({ name, input: current(input), output: current(output) })),
  });
}

/** For every tensor, the nodes that read it (a node once per use), plus how often it leaves the graph. */
export function usesOf(graph: Graph): { readonly readers: Map<Tensor, Node[]>; readonly leaving: Map<Tensor, number> } {
  const readers = new Map<Tensor, Node[]>();
  const leaving = new Map<Tensor, number>();
  for (const node of graph.nodes) {
    for (const input of node.inputs) {
      if (input === undefined) continue;
      const list = readers.get(input);
      if (list === undefined) readers.set(input, [node]);
      else list.push(node);
    }
  }
  for (const tensor of [...graph.outputs.map((o) => o.tensor), ...graph.states.map((s) => s.output)]) {
    leaving.set(tensor, (leaving.get(tensor) ?? 0) + 1);
  }
  return { readers, leaving };
}
