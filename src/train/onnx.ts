// A training step without the update as one ONNX graph: forward and backward pass in primitives of opset 17, so that whatever
// runs ONNX can train a model of ours. The forward pass is that of the dialect `portable`, and every operator's backward rule
// adds its nodes after it (gradient/differentiate.ts).
//
// Weights that are trained are inputs of the graph under their own names, in their own layout, and not stored in the file: an
// optimiser changes them with every step, and feeds them with every step. (Initialisers that are inputs as well, which ONNX has
// for this, onnxruntime-node ignores without a word when they are fed, and reads the stored value.) Weights that stay as they
// are, such as those under an adapter, are stored.
import { excessName } from "../blocks/balance.ts";
import { buildObjective } from "../blocks/model.ts";
import { type ExternalPlace, OnnxBuilder } from "../formats/onnx/builder.ts";
import { emitGraph, type ReadWeight } from "../formats/onnx/emit.ts";
import { OnnxError } from "../formats/onnx/error.ts";
import { differentiateOnnx } from "../formats/onnx/gradient/differentiate.ts";
import { mostTokens, present, type Value } from "../formats/onnx/lowering.ts";
import type { Dim } from "../graph/shape.ts";
import type { Graph, Tensor } from "../graph/types.ts";
import { prefixIds } from "../model/prefix.ts";
import { prepare } from "../ops/passes/optimise.ts";
import type { ArchitectureSpec } from "../spec/types.ts";
import { ROUTER_FACTS } from "./step.ts";

const DIALECT = "portable";
const IGNORED = -100;

export interface OnnxTrainingOptions {
  /** Most tokens of a row, those before the first one included; default 4096. Recurrences have nodes for each doubling of it. */
  readonly longest?: number;
  /** Which parameters are inputs and have gradients; all by default. The others are stored in the file. */
  readonly trainable?: (parameter: string) => boolean;
}

export interface TrainedParameter {
  /** Of the input. */
  readonly name: string;
  /** Of the output that is its gradient: `grad.<name>`. */
  readonly gradient: string;
  readonly shape: readonly number[];
}

export interface OnnxTraining {
  readonly builder: OnnxBuilder;
  readonly parameters: readonly TrainedParameter[];
  /** The file, without the tensors that `places` says are elsewhere. */
  encode(places?: ReadonlyMap<string, ExternalPlace>): Uint8Array;
}

export const gradientOutput = (parameter: string): string => `grad.${parameter}`;

/**
 * Inputs `input_ids` and `labels` int64 [batch, sequence], where `labels[b][t]` is the token to be predicted from those up to t
 * (the next one; nothing is shifted here), −100 where nothing is; and the trained weights. Rows that are shorter are filled up
 * on the right, with labels of −100. Outputs `loss` f32 [], the mean cross entropy in nats over the labels that are not −100;
 * `objective` [], what the gradients are of, where a mixture of experts adds losses of its own to it, and what these say of
 * routers (`balance_loss`, `z_loss`, `peak_load`); `grad.<parameter>` in each parameter's shape, zeros where the loss does not
 * depend on one; and for a router's bias, which has no gradient, `excess.<parameter>`: by how much its experts are chosen too
 * often. `weight` is asked for what is stored.
 * @throws OnnxError for what has no form, or no backward pass, without a loop
 */
export function buildOnnxTraining(
  spec: ArchitectureSpec,
  weight: ReadWeight,
  { trainable = () => true, longest = mostTokens.training }: OnnxTrainingOptions = {},
): OnnxTraining {
  const graph = prepare(buildObjective(spec));
  if (graph.nodes.some(({ op }) => op.name === "gru"))
    throw new OnnxError(
      `${spec.name} has a recurrent network whose step is not linear (gru): its backward pass needs a loop, so that it can't be exported for training`,
    );
  const builder = new OnnxBuilder(DIALECT);
  const leaves = new Map<Tensor, Value>();
  const tokens = readInputs(spec, graph, builder, leaves);
  const outputOf = (name: string): Tensor | undefined => graph.outputs.find((output) => output.name === name)?.tensor;
  const trained = graph.parameters.filter(({ name }) => outputOf(excessName(name)) === undefined && trainable(name));
  const fed = graph.parameters.filter(({ name }) => trainable(name));
  for (const { name, tensor } of fed) leaves.set(tensor, builder.input(name, "f32", tensor.shape));
  const emitted = emitGraph(graph, builder, {
    dialect: DIALECT,
    longest,
    weight,
    leaves,
    symbols: new Map<Dim, { readonly value: Value; readonly axis: number }>([
      ["B", { value: tokens, axis: 0 }],
      ["T", { value: tokens, axis: 1 }],
    ]),
  });
  const [loss, objective] = [present(outputOf("loss"), "loss"), present(outputOf("objective"), "objective")];
  const gradients = differentiateOnnx(
    builder,
    emitted(objective),
    trained.map(({ tensor }) => emitted(tensor)),
  );
  builder.output("loss", emitted(loss), "f32", []);
  if (objective !== loss) builder.output("objective", emitted(objective), "f32", []);
  for (const name of ROUTER_FACTS) {
    const tensor = outputOf(name);
    if (tensor !== undefined) builder.output(name, emitted(tensor), "f32", []);
  }
  const parameters = trained.map(({ name, tensor }, i) => {
    const gradient = gradientOutput(name);
    builder.output(gradient, present(gradients[i], gradient), "f32", tensor.shape);
    return { name, gradient, shape: tensor.shape as readonly number[] };
  });
  for (const { name } of fed) {
    const excess = outputOf(excessName(name));
    if (excess !== undefined) builder.output(excessName(name), emitted(excess), "f32", excess.shape);
  }
  const metadata = {
    "hybraid.dialect": DIALECT,
    "hybraid.kind": "training",
    "hybraid.spec": JSON.stringify(spec),
  };
  return { builder, parameters, encode: (places) => builder.encode(metadata, places) };
}

/** Adds the inputs of tokens and labels; returns the tokens that the model reads, learned ones before each row included. */
function readInputs(spec: ArchitectureSpec, graph: Graph, builder: OnnxBuilder, leaves: Map<Tensor, Value>): Value {
  const ids = builder.input("input_ids", "i32", ["batch", "sequence"]);
  const labels = builder.input("labels", "i32", ["batch", "sequence"]);
  builder.scope = "sequence";
  const one = (op: string, inputs: readonly Value[], attributes = {}): Value =>
    present(builder.nodes(op, inputs, 1, { attributes })[0], op);
  const integers = (values: readonly number[]): Value =>
    builder.integers(`integers.${values.join(".")}`, [values.length], values);
  const integer = (value: number): Value => builder.integers(`integer.${value}`, [], [value]);
  const sizeOf = (axis: number): Value => one("Gather", [one("Shape", [ids]), integers([axis])], { axis: 0 });
  const { prefix_tokens: prefix } = spec.embedding;
  const withPrefix = (values: Value, fill: readonly number[]): Value => {
    if (prefix === 0) return values;
    const row = builder.integers(`prefix.${fill[0]}`, [1, fill.length], fill);
    const rows = one("Expand", [row, one("Concat", [sizeOf(0), integers([prefix])], { axis: 0 })]);
    return one("Concat", [rows, values], { axis: 1 });
  };
  const tokens = withPrefix(ids, [...prefixIds(spec, 1)]);
  const named: Readonly<Record<string, () => Value>> = {
    tokens: () => tokens,
    targets: () => withPrefix(labels, new Array<number>(prefix).fill(IGNORED)),
    positions: () => {
      const count = one("Squeeze", [sizeOf(1), integers([0])]);
      return one("Expand", [one("Range", [integer(0), count, integer(1)]), one("Shape", [ids])]);
    },
  };
  for (const { name, tensor } of graph.inputs) {
    const value = named[name];
    if (value === undefined) throw new OnnxError(`the input "${name}" has no place in an ONNX graph`);
    leaves.set(tensor, value());
  }
  return tokens;
}
