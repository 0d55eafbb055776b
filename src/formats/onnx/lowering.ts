// What an op's onnx.ts is given and what it hands back. A facet turns one node of our graph into ONNX nodes; it knows
// neither the file nor the model that it is part of.
import type { Dim, DType, Shape } from "../../graph/shape.ts";
import type { Node, Tensor } from "../../graph/types.ts";
import type { MatrixWeights } from "./weights.ts";

/** Which operators a file is made of. */
export interface DialectFacts {
  /** Version of the standard operators. */
  readonly opset: number;
  /** Version of the file format. */
  readonly irVersion: number;
  /** Operators that onnxruntime adds (domain com.microsoft). */
  readonly contrib: boolean;
  readonly description: string;
}

/** `ir_version` is the one that came with the opset. */
const facts = {
  ort: { opset: 17, irVersion: 8, contrib: true, description: "onnxruntime: its own fused operators" },
  onnx: {
    opset: 27,
    irVersion: 13,
    contrib: false,
    description: "standard operators only, with LinearAttention, CausalConvWithState and Attention",
  },
  portable: { opset: 17, irVersion: 8, contrib: false, description: "primitives of opset 17, for any runtime" },
  scan: { opset: 17, irVersion: 8, contrib: false, description: "opset 17, recurrences as Scan: token by token" },
} as const satisfies Readonly<Record<string, DialectFacts>>;
export type Dialect = keyof typeof facts;
export const dialectFacts: Readonly<Record<Dialect, DialectFacts>> = facts;
export const dialects = Object.keys(facts) as Dialect[];

/** Most tokens of a call, and of a row in a training step: scans over time have nodes for each doubling of them. */
export const mostTokens = { call: 2 ** 17 - 1, training: 4096 } as const;

/** A value of the ONNX graph, by name. i32 tensors of ours are int64 there: that is what ONNX indexes with. */
export type Value = string;

/** A graph that is an attribute of a node, such as what Scan does for a token. It may read values of the graph around it. */
export interface Subgraph {
  readonly name: string;
  /** Element types only: sizes follow from what the node is given. */
  readonly inputs: readonly { readonly name: Value; readonly dtype: DType }[];
  readonly outputs: readonly { readonly name: Value; readonly dtype: DType }[];
  readonly nodes: readonly BuiltNode[];
}

export interface BuiltNode {
  readonly name: string;
  readonly op: string;
  readonly contrib: boolean;
  /** Empty where an input is absent. */
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** The gradients of a group's inputs from those of its outputs; undefined are those that are none, and that `needs` denies. */
export type Adjoint = (
  gradients: readonly (Value | undefined)[],
  needs: readonly boolean[],
) => readonly (Value | undefined)[];

/** Nodes that are differentiated together, by a rule that is shorter than those of all of them. */
export interface NodeGroup {
  /** Among all nodes, the first of them and the first after them. */
  readonly first: number;
  readonly end: number;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly adjoint: Adjoint;
}

/** Whole numbers are INT attributes; fractions and `{ float }` are FLOAT. */
export type Attribute = number | string | readonly number[] | { readonly float: number } | { readonly graph: Subgraph };

export interface NodeOptions {
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** An operator of the domain com.microsoft. */
  readonly contrib?: boolean;
}

/** The sequence that a model reads, where the graph is a whole model with states. */
export interface Sequence {
  /** int64 [B, T], the position of each token. */
  readonly positions: Value;
  /** int64 [B, total]: 0 for the keys that are padding, of earlier calls and of this one. */
  readonly keyMask: Value;
  /** f32 [B, T]: 0 for the tokens of this call that are padding. */
  readonly tokenMask: Value;
}

/**
 * Windows of convolutions as a model's ports carry them: [B, C, taps], the oldest of which no token of the next call needs. What
 * reads and writes these needs neither to cut a column off nor to exchange axes.
 */
export interface Windows {
  /** By the state that it stands for. */
  readonly past: ReadonlyMap<Tensor, Value>;
  /** By the next value of the state; what is set here goes out as it is. */
  readonly present: Map<Tensor, Value>;
}

export interface OnnxEmitter {
  readonly dialect: Dialect;
  /** Most tokens of a call that the graph is to serve. */
  readonly longest: number;
  /** Undefined where a graph is no model: then nothing is padding, and positions are inputs like others. */
  readonly sequence: Sequence | undefined;
  /** Adds a node; an absent input is undefined. Returns its first output. */
  node(op: string, inputs: readonly (Value | undefined)[], options?: NodeOptions): Value;
  /** Adds a node with `count` outputs. */
  nodes(op: string, inputs: readonly (Value | undefined)[], count: number, options?: NodeOptions): Value[];
  /** An f32 constant; of shape [] where none is given. */
  floats(values: readonly number[] | Float32Array, shape?: readonly number[]): Value;
  /** An int64 constant [n]. */
  integers(values: readonly number[]): Value;
  /** An int64 constant []. */
  integer(value: number): Value;
  /** The sizes of `shape` at run time, int64 [rank]. */
  sizes(shape: Shape): Value;
  /** What `x` is another shape of, where that has the shape `shape`. */
  sourceOf(x: Value, shape: Shape): Value | undefined;
  /** Whether a tensor needs no mask: it is zero for tokens that are padding. */
  isZeroForPadding(tensor: Tensor | undefined): boolean;
  /** x under another shape; both have the same elements. */
  reshape(x: Value, from: Shape, to: Shape): Value;
  /** A value of shape `dims` made from those of a parameter, and stored; undefined where `tensor` is no parameter. */
  derived(
    tensor: Tensor | undefined,
    suffix: string,
    dims: readonly number[],
    make: (values: Float32Array) => Float32Array,
  ): Value | undefined;
  /** The nodes that read a tensor. */
  readersOf(tensor: Tensor): readonly Node[];
  /** The window of a convolution, [B, C, taps] as it comes in and goes out, where that is given whole; see {@link Windows}. */
  readonly windows: Windows;
  /** Products with and look-ups in matrix parameters, as the file stores them. */
  readonly weights: MatrixWeights;
  /** What `build` emits, differentiated by `adjoint` where the graph is: nothing else reads f32 values from inside. */
  withAdjoint(inputs: readonly Value[], build: () => readonly Value[], adjoint: Adjoint): readonly Value[];
  /** A graph for an attribute, with f32 inputs called after `inputs`; `build` emits its nodes and returns its outputs, f32. */
  subgraph(name: string, inputs: readonly string[], build: (inputs: readonly Value[]) => readonly Value[]): Subgraph;
  /**
   * Says what shape an f32 value has at run time; a symbol that is none of the model's is a size with a name of its own. Values
   * whose sizes have the same names can share memory.
   */
  declare(x: Value, shape: readonly (Dim | string)[]): Value;
  /** The value that `make` emits when `key` is asked for first: what many nodes need is there once. */
  once(key: string, make: () => Value): Value;
  /** The same for several values. */
  onceAll(key: string, make: () => readonly Value[]): readonly Value[];
}

export interface LoweringContext<A> {
  /** Our node's inputs: their types … */
  readonly tensors: readonly (Tensor | undefined)[];
  /** … and their values. */
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly Tensor[];
  readonly attributes: A;
}

/** Emits the nodes and returns the value of each output; undefined for those that only a backward pass reads. */
export type OnnxLowering<A> = (context: LoweringContext<A>, emit: OnnxEmitter) => readonly (Value | undefined)[];

/** How an op is written: one way in all dialects, or one in each; a dialect without its own takes the portable one. */
export type OnnxForms<A> = OnnxLowering<A> | { readonly [D in Dialect]?: OnnxLowering<A> };

/** `value`, which the op cannot do without. */
export function present<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`${what} is missing`);
  return value;
}
