// Reverse-mode differentiation: walks the graph backwards once and lets each op's rule build the gradient's graph.
import { nodesOf } from "./graph.ts";
import { GraphError, sameShape } from "./shape.ts";
import { inScope, type Node, type Tensor } from "./types.ts";

/** The parts of the op library that differentiation needs; passed in, so that the graph does not depend on the ops. */
export interface GradientLibrary {
  /** Gradients of a node's inputs, given those of its outputs. */
  rule(
    node: Node,
    gradients: readonly (Tensor | undefined)[],
    needs: readonly boolean[],
  ): readonly (Tensor | undefined)[];
  /** Sum of tensors of equal shape. */
  sum(tensors: readonly Tensor[]): Tensor;
}

/** A tensor and the gradient that flows into it from outside. */
export interface Seed {
  readonly tensor: Tensor;
  readonly gradient: Tensor;
}

/**
 * Gradients of Σ seeds ⟨tensor, gradient⟩ with respect to each of `wrt`; undefined where there is no dependence.
 * @throws GraphError when an op on the way has no gradient.
 */
export function differentiate(
  seeds: readonly Seed[],
  wrt: readonly Tensor[],
  library: GradientLibrary,
): (Tensor | undefined)[] {
  const nodes = nodesOf(seeds.map((seed) => seed.tensor));
  const wanted = new Set(wrt);
  const active = new Set<Tensor>();
  for (const node of nodes) {
    const depends = node.inputs.some((input) => input !== undefined && active.has(input));
    for (const output of node.outputs) if (depends || wanted.has(output)) active.add(output);
  }

  const contributions = new Map<Tensor, Tensor[]>();
  const contribute = (tensor: Tensor, gradient: Tensor): void => {
    if (!sameShape(tensor.shape, gradient.shape)) {
      throw new GraphError(
        `the gradient of ${tensor.node.op.name} has shape [${gradient.shape.join(", ")}], its value [${tensor.shape.join(", ")}]`,
      );
    }
    const list = contributions.get(tensor);
    if (list === undefined) contributions.set(tensor, [gradient]);
    else list.push(gradient);
  };
  const total = (tensor: Tensor): Tensor | undefined => {
    const parts = contributions.get(tensor);
    if (parts === undefined) return undefined;
    const gradient = parts.length === 1 ? parts[0] : library.sum(parts);
    if (gradient !== undefined) contributions.set(tensor, [gradient]);
    return gradient;
  };

  for (const { tensor, gradient } of seeds) contribute(tensor, gradient);
  for (const node of nodes.reverse()) {
    const needs = node.inputs.map((input) => input !== undefined && active.has(input));
    if (!needs.includes(true)) continue;
    inScope(node.scope, () => {
      const gradients = node.outputs.map(total);
      if (gradients.every((gradient) => gradient === undefined)) return;
      const inputGradients = library.rule(node, gradients, needs);
      for (const [i, input] of node.inputs.entries()) {
        const gradient = inputGradients[i];
        if (input !== undefined && needs[i] && gradient !== undefined) contribute(input, gradient);
      }
    });
  }
  return wrt.map(total);
}
