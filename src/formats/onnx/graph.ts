// A bare graph as an ONNX model: inputs, states and outputs keep their names. What the tests of ops export; whole models have
// the names and shapes that their runtimes expect (model.ts).
import { type Dim, GraphError } from "../../graph/shape.ts";
import type { Graph, Tensor } from "../../graph/types.ts";
import { OnnxBuilder } from "./builder.ts";
import { emitGraph, type ReadWeight } from "./emit.ts";
import type { Dialect, Value } from "./lowering.ts";
import type { StorageOptions } from "./storage.ts";

const noWeights: ReadWeight = (name) => {
  throw new GraphError(`no values for the parameter ${name}`);
};

/** Inputs `name`, states in as `name` and out as `present.name`, outputs `name`; symbols stay symbols. */
export function graphToOnnx(
  graph: Graph,
  {
    dialect,
    weight = noWeights,
    storage,
    longest,
  }: {
    readonly dialect: Dialect;
    readonly weight?: ReadWeight;
    readonly storage?: StorageOptions;
    readonly longest?: number;
  },
): OnnxBuilder {
  const builder = new OnnxBuilder(dialect);
  const leaves = new Map<Tensor, Value>();
  const symbols = new Map<Dim, { readonly value: Value; readonly axis: number }>();
  const states = graph.states.map(({ name, input }) => ({ name, tensor: input }));
  for (const { name, tensor } of [...graph.inputs, ...states]) {
    const value = builder.input(name, tensor.dtype, tensor.shape);
    leaves.set(tensor, value);
    for (const [axis, dim] of tensor.shape.entries()) if (typeof dim === "string") symbols.set(dim, { value, axis });
  }
  const emitted = emitGraph(graph, builder, { dialect, weight, leaves, symbols, storage, longest });
  const next = graph.states.map(({ name, output }) => ({ name: `present.${name}`, tensor: output }));
  for (const { name, tensor } of [...graph.outputs, ...next])
    builder.output(name, emitted(tensor), tensor.dtype, tensor.shape);
  return builder;
}
