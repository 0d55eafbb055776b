// A whole model as one ONNX graph that serves prefill and decoding: token ids, mask, positions and states in; logits and the
// next states out.
import { buildForward } from "../../blocks/model.ts";
import type { Dim } from "../../graph/shape.ts";
import type { Graph, Tensor } from "../../graph/types.ts";
import type { ArchitectureSpec } from "../../spec/types.ts";
import { type ExternalPlace, OnnxBuilder } from "./builder.ts";
import { emitGraph, type ReadWeight } from "./emit.ts";
import { OnnxError } from "./error.ts";
import { elementTypes } from "./forms/cast.ts";
import { type Dialect, present, type Value } from "./lowering.ts";
import { prepareGraph } from "./prepare.ts";
import { dimensions, readPort, type StateNames, type StatePort, statePorts, writePort } from "./states.ts";
import type { StorageOptions } from "./storage.ts";

export interface OnnxModelOptions {
  readonly dialect?: Dialect;
  /** Logits of all positions (default) or of the last only. */
  readonly logits?: "all" | "last";
  readonly storage?: StorageOptions;
  /** How states are called; by default each has the number of its layer. */
  readonly names?: StateNames;
  /** What else the file says about itself. */
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface OnnxModel {
  readonly builder: OnnxBuilder;
  /** States, in the order of the inputs. */
  readonly states: readonly StatePort[];
  /** The graph that it was made from, and the value that a tensor of it has become. */
  readonly graph: Graph;
  emitted(tensor: Tensor): Value;
  /** The file, without the tensors that `places` says are elsewhere. */
  encode(places?: ReadonlyMap<string, ExternalPlace>): Uint8Array;
}

/**
 * Inputs `input_ids` int64 [batch, sequence], `attention_mask` int64 [batch, total] (0 where a token, of earlier calls or of this
 * one, is padding; padding stands on the left), `position_ids` int64 [batch, sequence], and states `past…`; those that the
 * model has no use for are left out. Outputs `logits` f32 [batch, sequence or 1, vocabulary] and states `present…`.
 * @throws OnnxError for what has no form in the dialect.
 */
export function buildOnnxModel(
  spec: ArchitectureSpec,
  read: ReadWeight,
  { dialect = "ort", logits = "all", storage, names, metadata = {} }: OnnxModelOptions = {},
): OnnxModel {
  if (spec.embedding.prefix_tokens > 0)
    throw new OnnxError(
      `${spec.name} reads ${spec.embedding.prefix_tokens} learned tokens before the first one, which can't be written in ONNX yet`,
    );
  const forward = buildForward(spec, { stateful: true, lastOnly: logits === "last" });
  const { graph, weight } = prepareGraph(forward, read, names?.apart);
  const builder = new OnnxBuilder(dialect);
  const one = (op: string, inputs: readonly Value[], options?: Parameters<OnnxBuilder["nodes"]>[3]): Value =>
    present(builder.nodes(op, inputs, 1, options)[0], op);
  const tokens = builder.input("input_ids", "i32", [dimensions.batch, dimensions.sequence]);
  const keyMask = builder.input("attention_mask", "i32", [dimensions.batch, dimensions.total], { optional: true });
  const positions = builder.input("position_ids", "i32", [dimensions.batch, dimensions.sequence], { optional: true });

  builder.scope = "sequence";
  const [zero, axis] = [builder.integers("integer.0", [], [0]), builder.integers("integers.1", [1], [1])];
  const length = one("Gather", [one("Shape", [tokens]), axis]);
  const end = builder.integers(`integers.${Number.MAX_SAFE_INTEGER}`, [1], [Number.MAX_SAFE_INTEGER]);
  const recent = one("Slice", [keyMask, one("Neg", [length]), end, axis]);
  const tokenMask = one("Cast", [recent], { attributes: { to: elementTypes.f32 } });

  const named: Readonly<Record<string, Value>> = {
    tokens,
    positions,
    position: one("Gather", [positions, zero], { attributes: { axis: 1 } }),
  };
  const leaves = new Map<Tensor, Value>();
  for (const { name, tensor } of graph.inputs) {
    const value = named[name];
    if (value === undefined) throw new OnnxError(`the input "${name}" has no place in an ONNX graph`);
    leaves.set(tensor, value);
  }
  builder.scope = "states";
  const states = statePorts(graph.states, names);
  const windows = { past: new Map<Tensor, Value>(), present: new Map<Tensor, Value>() };
  for (const port of states) readPort(port, builder, leaves, windows.past);
  const emitted = emitGraph(graph, builder, {
    dialect,
    weight,
    leaves,
    storage,
    symbols: new Map<Dim, { readonly value: Value; readonly axis: number }>([
      ["B", { value: tokens, axis: 0 }],
      ["T", { value: tokens, axis: 1 }],
    ]),
    sequence: { positions, keyMask, tokenMask },
    windows,
  });
  for (const { name, tensor } of graph.outputs)
    builder.output(name, emitted(tensor), "f32", [
      dimensions.batch,
      logits === "last" ? 1 : dimensions.sequence,
      spec.vocab_size,
    ]);
  builder.scope = "states";
  for (const port of states) writePort(port, builder, emitted, windows.present);
  const facts = { "hybraid.dialect": dialect, "hybraid.spec": JSON.stringify(spec), ...metadata };
  return { builder, states, graph, emitted, encode: (places) => builder.encode(facts, places) };
}
