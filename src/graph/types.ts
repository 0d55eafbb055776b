// The intermediate representation: a directed acyclic graph of typed values. Tensors are made by calling op functions
// (src/ops/*/op.ts); a Graph names what goes in and comes out of such a web of tensors and lists its nodes in order.
import type { Bindings, BoundType, DType, Shape, TensorType } from "./shape.ts";
import { GraphError } from "./shape.ts";

/** A value: one output of a node. */
export interface Tensor extends TensorType {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly node: Node;
  /** Which output of the node this is. */
  readonly index: number;
}

/** An op applied to inputs. An absent optional input is `undefined`. */
export interface Node<A = unknown> {
  /** Serial number: larger than that of every node it depends on, so sorting by id is a topological order. */
  readonly id: number;
  readonly op: OpDefinition<A>;
  readonly inputs: readonly (Tensor | undefined)[];
  readonly attributes: A;
  readonly outputs: readonly Tensor[];
  /** Where in the model it came from, e.g. `layers.3.mixer`; empty outside any scope. */
  readonly scope: string;
}

/** Work that one execution of a node does, for reports and floors. */
export interface Cost {
  /** Floating point operations; a multiply-add counts 2, an exponential 1. */
  readonly flops: number;
  /** Bytes of memory traffic, each input read once and each output written once. */
  readonly bytes: number;
}

/**
 * What an op is, whatever runs it: its name, shape rule, and cost. Gradients, references and lowerings are separate
 * facets, in tables keyed by `name`.
 */
export interface OpDefinition<A = unknown> {
  readonly name: string;
  /** Types of the outputs; throws GraphError with the op's name when the inputs do not fit. */
  infer(inputs: readonly (TensorType | undefined)[], attributes: A): TensorType[];
  /** Floating point operations of one execution; bytes are derived from the types unless `bytes` is given. */
  flops(inputs: readonly (BoundType | undefined)[], outputs: readonly BoundType[], attributes: A): number;
  bytes?(inputs: readonly (BoundType | undefined)[], outputs: readonly BoundType[], attributes: A): number;
  /** The attributes with every symbolic dimension in them replaced by its number; needed only by ops whose attributes hold any. */
  bind?(attributes: A, bindings: Bindings): A;
  /** Pairs [input, output] whose storage may be the same: the kernel reads each element of the input before it writes it. */
  readonly inPlace?: readonly (readonly [input: number, output: number])[];
  /** The output is the input's memory under another shape (reshape). */
  readonly view?: boolean;
  /** Leaves: inputs, parameters, states and constants. */
  readonly leaf?: "input" | "parameter" | "state" | "constant";
}

/** A recurrent value: read from `input` at the start of a call; `output` is its value after the call. */
export interface StateBinding {
  readonly name: string;
  readonly input: Tensor;
  readonly output: Tensor;
}

export interface NamedTensor {
  readonly name: string;
  readonly tensor: Tensor;
}

/** A complete program: leaves by kind, results by name, and every needed node in execution order. */
export interface Graph {
  readonly inputs: readonly NamedTensor[];
  readonly parameters: readonly NamedTensor[];
  readonly states: readonly StateBinding[];
  readonly outputs: readonly NamedTensor[];
  /** Topological order, leaves included. */
  readonly nodes: readonly Node[];
}

let currentScope = "";
let nodeCount = 0;

/** Runs `body` with `name` appended to the scope that new nodes are labelled with. */
export function withScope<R>(name: string, body: () => R): R {
  const outer = currentScope;
  currentScope = outer === "" ? name : `${outer}.${name}`;
  try {
    return body();
  } finally {
    currentScope = outer;
  }
}

/** Runs `body` with the scope set to exactly `scope` (passes use it to keep the labels of what they rewrite). */
export function inScope<R>(scope: string, body: () => R): R {
  const outer = currentScope;
  currentScope = scope;
  try {
    return body();
  } finally {
    currentScope = outer;
  }
}

/** Applies an op: infers the output types and makes the node. Returns all outputs. */
export function apply<A>(
  op: OpDefinition<A>,
  inputs: readonly (Tensor | undefined)[],
  attributes: A,
): readonly Tensor[] {
  const types = op.infer(inputs, attributes);
  const outputs: Tensor[] = [];
  const node: Node<A> = { id: nodeCount++, op, inputs, attributes, outputs, scope: currentScope };
  for (const [index, type] of types.entries()) {
    outputs.push({ shape: type.shape, dtype: type.dtype, node: node as Node, index });
  }
  return outputs;
}

/** Applies an op and returns its output number `index`. */
export function applyOne<A>(
  op: OpDefinition<A>,
  inputs: readonly (Tensor | undefined)[],
  attributes: A,
  index = 0,
): Tensor {
  const output = apply(op, inputs, attributes)[index];
  if (output === undefined) throw new GraphError(`${op.name} has no output ${index}`);
  return output;
}

/** Output number `index` of the node that made `tensor`. */
export function outputOf(tensor: Tensor, index: number): Tensor {
  const output = tensor.node.outputs[index];
  if (output === undefined) throw new GraphError(`${tensor.node.op.name} has no output ${index}`);
  return output;
}

/** How a node is named in messages: its op, and where it stands in the model. */
export function nodeName(node: Node): string {
  return node.scope === "" ? node.op.name : `${node.op.name} in ${node.scope}`;
}
