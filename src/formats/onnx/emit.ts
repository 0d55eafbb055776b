// From our graph to ONNX nodes: walks the graph in order, hands every node to its op's facet, and keeps track of which value
// each tensor has become.
import { leafName, usesOf } from "../../graph/graph.ts";
import type { ConstantAttributes } from "../../graph/leaves.ts";
import { type Dim, type Shape, sameShape } from "../../graph/shape.ts";
import { type Graph, type Node, nodeName, type Tensor } from "../../graph/types.ts";
import type { Dimension, OnnxBuilder } from "./builder.ts";
import { OnnxError } from "./error.ts";
import { after, type Eventual } from "./eventual.ts";
import {
  type Dialect,
  mostTokens,
  type NodeOptions,
  type OnnxEmitter,
  present,
  type Sequence,
  type Value,
  type Windows,
} from "./lowering.ts";
import { type Padding, planPadding } from "./padding.ts";
import { masked as withoutPadding } from "./recurrence.ts";
import type { StorageOptions } from "./storage.ts";
import { loweringOf } from "./table.ts";
import { matrixWeights } from "./weights.ts";

/** The values of a parameter, row-major f32; at once, or when they have been read from a file. */
export type ReadWeight = (name: string) => Eventual<Float32Array>;

export interface EmitOptions {
  readonly dialect: Dialect;
  readonly weight: ReadWeight;
  /** Values of inputs and states; and of parameters that are not stored in the file. */
  readonly leaves: ReadonlyMap<Tensor, Value>;
  /** A value and the axis of it that has the size of a symbol. */
  readonly symbols: ReadonlyMap<Dim, { readonly value: Value; readonly axis: number }>;
  readonly sequence?: Sequence | undefined;
  readonly windows?: Windows | undefined;
  /** Most tokens of a call; default 2^17 − 1. */
  readonly longest?: number | undefined;
  /** How matrices are stored; default f32. */
  readonly storage?: StorageOptions | undefined;
}

/** Emits every node of `graph`; returns the value of a tensor of it. @throws OnnxError for an op without a form in the dialect. */
export function emitGraph(graph: Graph, builder: OnnxBuilder, options: EmitOptions): (tensor: Tensor) => Value {
  const values = new Map<Tensor, Value>(options.leaves);
  const needsMasks = options.sequence !== undefined && options.dialect === "ort";
  const padding = needsMasks ? planPadding(graph) : { masked: new Set<Tensor>(), zero: new Set<Tensor>() };
  const emitter = createEmitter(graph, builder, options, padding);
  for (const node of graph.nodes) {
    const [tensor] = node.outputs;
    if (tensor === undefined || values.has(tensor)) continue;
    builder.scope = node.scope;
    if (node.op.leaf === "parameter") values.set(tensor, parameterValue(tensor, builder, options.weight));
    else if (node.op.leaf === "constant") values.set(tensor, constantValue(node, emitter));
    else if (node.op.leaf !== undefined)
      throw new OnnxError(`the ${node.op.leaf} "${leafName(node)}" has no place in the ONNX graph`);
    else emitNode(node, values, emitter, padding);
  }
  return (tensor) => lookUp(tensor, values);
}

function emitNode(node: Node, values: Map<Tensor, Value>, emitter: OnnxEmitter, { masked }: Padding): void {
  const lower = loweringOf(node, emitter.dialect);
  const inputs = node.inputs.map((input) => input && lookUp(input, values));
  const { inputs: tensors, outputs, attributes } = node;
  for (const [i, value] of lower({ tensors, inputs, outputs, attributes }, emitter).entries()) {
    const output = outputs[i];
    if (output === undefined || value === undefined) continue;
    const result = masked.has(output) ? withoutPadding(value, output.shape.length - 2, emitter) : value;
    values.set(output, result);
    // Caches are as long as all calls so far, which no symbol of ours is.
    if (output.dtype === "f32" && output.shape.every((dim) => typeof dim === "number" || dim === "B" || dim === "T"))
      emitter.declare(result, output.shape);
  }
}

function lookUp(tensor: Tensor, values: ReadonlyMap<Tensor, Value>): Value {
  const value = values.get(tensor);
  if (value === undefined)
    throw new OnnxError(
      `output ${tensor.index} of ${nodeName(tensor.node)} has no form in ONNX, and something reads it`,
    );
  return value;
}

function parameterValue(tensor: Tensor, builder: OnnxBuilder, weight: ReadWeight): Value {
  const name = leafName(tensor.node);
  return builder.floats(name, tensor.shape as readonly number[], () => weight(name));
}

function constantValue(node: Node, emitter: OnnxEmitter): Value {
  const { values, shape, dtype } = node.attributes as ConstantAttributes;
  if (dtype === "f32") return emitter.floats(values, shape);
  return emitter.reshape(emitter.integers(values), [values.length], shape);
}

function createEmitter(graph: Graph, builder: OnnxBuilder, options: EmitOptions, padding: Padding): OnnxEmitter {
  const { readers } = usesOf(graph);
  /** What was reshaped: a shape on top of another is a shape of the first. */
  const views = new Map<Value, { readonly value: Value; readonly shape: Shape }>();
  let made = new Map<string, readonly Value[]>();
  const onceAll: OnnxEmitter["onceAll"] = (key, make) => {
    let values = made.get(key);
    if (values === undefined) {
      values = make();
      made.set(key, values);
    }
    return values;
  };
  const once = (key: string, make: () => Value): Value => present(onceAll(key, () => [make()])[0], key);
  const nodes = (op: string, inputs: readonly (Value | undefined)[], count: number, rest?: NodeOptions): Value[] =>
    builder.nodes(op, inputs, count, rest);
  const node: OnnxEmitter["node"] = (op, inputs, rest) => {
    const [output] = nodes(op, inputs, 1, rest);
    if (output === undefined) throw new OnnxError(`${op} has no output`);
    return output;
  };
  const integers = (list: readonly number[]): Value =>
    builder.integers(`integers.${list.join(".")}`, [list.length], list);
  const integer = (value: number): Value => builder.integers(`integer.${value}`, [], [value]);
  const floats: OnnxEmitter["floats"] = (list, shape = []) => {
    const data = Float32Array.from(list);
    const name =
      data.length <= 4 ? `floats.${shape.join("x")}.${data.join(".")}` : builder.unique(`${builder.scope}/constant`);
    return builder.floats(name, shape, () => data);
  };
  /** int64 [1] */
  const size = (dim: Dim): Value => {
    if (typeof dim === "number") return integers([dim]);
    const source = options.symbols.get(dim);
    if (source === undefined) throw new OnnxError(`nothing in the ONNX graph has the size ${dim}`);
    return once(`size ${dim}`, () =>
      node("Gather", [node("Shape", [source.value]), integers([source.axis])], { attributes: { axis: 0 } }),
    );
  };
  const sizes = (shape: Shape): Value => {
    if (shape.every((dim) => typeof dim === "number")) return integers(shape);
    return once(`sizes ${shape.join(" ")}`, () => node("Concat", shape.map(size), { attributes: { axis: 0 } }));
  };
  const emit: Omit<OnnxEmitter, "weights"> = {
    dialect: options.dialect,
    longest: options.longest ?? mostTokens.call,
    sequence: options.sequence,
    node,
    nodes,
    floats,
    integers,
    integer,
    sizes,
    once,
    onceAll,
    isZeroForPadding: (tensor) => tensor !== undefined && padding.zero.has(tensor),
    readersOf: (tensor) => readers.get(tensor) ?? [],
    windows: options.windows ?? { past: new Map(), present: new Map() },
    derived(tensor, suffix, dims, make) {
      if (tensor?.node.op.leaf !== "parameter" || options.leaves.has(tensor)) return undefined;
      const name = leafName(tensor.node);
      return builder.floats(`${name}.${suffix}`, dims, () => after(options.weight(name), make));
    },
    withAdjoint: (inputs, build, adjoint) => builder.withAdjoint(inputs, build, adjoint),
    subgraph(name, inputs, build) {
      // What is made inside can't be read outside.
      const outer = made;
      made = new Map(outer);
      try {
        return builder.subgraph(name, inputs, build);
      } finally {
        made = outer;
      }
    },
    declare(x, shape) {
      const named = (dim: Dim | string): Dimension => {
        const source = options.symbols.get(dim as Dim);
        return (source && builder.sizeOf(source.value, source.axis)) ?? dim;
      };
      builder.declare(x, shape.map(named));
      return x;
    },
    reshape(x, from, to) {
      const source = views.get(x) ?? { value: x, shape: from };
      if (sameShape(source.shape, to)) return source.value;
      const view = node("Reshape", [source.value, staticShape(source.shape, to, integers) ?? sizes(to)]);
      views.set(view, source);
      return view;
    },
    sourceOf(x, shape) {
      const source = views.get(x);
      return source !== undefined && sameShape(source.shape, shape) ? source.value : undefined;
    },
  };
  const { weight, storage = {} } = options;
  return { ...emit, weights: matrixWeights({ readers, builder, emit, weight, storage, given: options.leaves }) };
}

/** The target of a Reshape as a constant: 0 keeps an axis, −1 is what remains; undefined where that is not enough. */
function staticShape(from: Shape, to: Shape, integers: (list: readonly number[]) => Value): Value | undefined {
  const target = to.map((dim, axis) => (typeof dim === "number" ? dim : from[axis] === dim ? 0 : -1));
  return target.filter((size) => size === -1).length > 1 ? undefined : integers(target);
}
