// Where tokens that are padding are masked. Convolutions and recurrences must not see them; rather than masking what each of them
// reads, few tensors before them are masked, from which zeros reach the rest: a projection of zero is zero, and so is what a
// gate of zero lets through.
import type { Expression } from "../../graph/expression.ts";
import type { Graph, Node, Tensor } from "../../graph/types.ts";
import { attentionOp } from "../../ops/attention/op.ts";
import { causalConvOp } from "../../ops/causal-conv/op.ts";
import { type ConcatAttributes, concatOp } from "../../ops/concat/op.ts";
import { gatherOp } from "../../ops/gather/op.ts";
import { linearAttentionOp } from "../../ops/linear-attention/op.ts";
import { type MapAttributes, mapOp } from "../../ops/map/op.ts";
import { type MatmulAttributes, matmulOp } from "../../ops/matmul/op.ts";
import { reshapeOp } from "../../ops/reshape/op.ts";
import { type RmsNormAttributes, rmsNormOp } from "../../ops/rms-norm/op.ts";
import { selectiveScanOp } from "../../ops/selective-scan/op.ts";
import { type SliceAttributes, sliceOp } from "../../ops/slice/op.ts";

export interface Padding {
  /** Tensors [B, T, ..] to mask when they are made. */
  readonly masked: ReadonlySet<Tensor>;
  /** Tensors that are zero for tokens that are padding. */
  readonly zero: ReadonlySet<Tensor>;
}

const isSequence = ({ shape }: Tensor): boolean => shape[0] === "B" && shape[1] === "T" && shape.length > 2;

/** Whether an expression is 0 wherever the inputs that `zero` names are, whatever the others are. */
function vanishes(e: Expression, zero: (index: number) => boolean): boolean {
  if (e.kind === "constant") return e.value === 0;
  if (e.kind === "input") return zero(e.index);
  const [a, b, c] = e.args.map((arg) => vanishes(arg, zero));
  switch (e.fn) {
    case "mul":
      return a === true || b === true;
    case "add":
    case "sub":
    case "max":
    case "min":
      return a === true && b === true;
    case "where":
      return b === true && c === true;
    case "div":
      return a === true && b !== true;
    case "neg":
    case "abs":
    case "sqrt":
    case "log1p":
    case "tanh":
    case "erf":
    case "sin":
      return a === true;
    default:
      return false;
  }
}

/** Whether output `index` of a node is zero for padding where those of its inputs are that `zero` holds. */
function staysZero({ op, inputs, attributes, outputs }: Node, index: number, zero: ReadonlySet<Tensor>): boolean {
  const is = (i: number): boolean => {
    const input = inputs[i];
    return input !== undefined && zero.has(input);
  };
  switch (op.name) {
    case mapOp.name: {
      const rank = outputs[0]?.shape.length;
      const { expression } = attributes as MapAttributes;
      return vanishes(expression, (i) => is(i) && inputs[i]?.shape.length === rank);
    }
    case matmulOp.name:
      return is(0) && !(attributes as MatmulAttributes).transposeA && inputs[2] === undefined;
    case reshapeOp.name:
      return is(0);
    case sliceOp.name:
      return is(0) && (attributes as SliceAttributes).axis > 1;
    case concatOp.name:
      return inputs.every((_, i) => is(i)) && (attributes as ConcatAttributes).axis > 1;
    case rmsNormOp.name: {
      const sum = is(0) && (inputs[3] === undefined || is(3));
      return sum || (index === 0 && is(2) && (attributes as RmsNormAttributes).gateActivation !== "sigmoid");
    }
    case selectiveScanOp.name:
      return index === 0 && is(6);
    default:
      return false;
  }
}

/** Everything that is zero for padding where `masked` is. */
function zerosOf(graph: Graph, masked: ReadonlySet<Tensor>): Set<Tensor> {
  const zero = new Set<Tensor>();
  for (const node of graph.nodes)
    for (const [index, output] of node.outputs.entries())
      if (isSequence(output) && (masked.has(output) || staysZero(node, index, zero))) zero.add(output);
  return zero;
}

/** Chooses what is masked. */
export function planPadding(graph: Graph): Padding {
  const outputsOf = (name: string): Tensor[] =>
    graph.nodes.flatMap(({ op, outputs: [first] }) => (op.name === name && first !== undefined ? [first] : []));
  const convolved = outputsOf(causalConvOp.name);
  const last = convolved.at(-1)?.node.id ?? -1;
  const met = (masked: readonly Tensor[]): number => {
    const zero = zerosOf(graph, new Set(masked));
    return convolved.filter(
      ({
        node: {
          inputs: [x],
        },
      }) => x !== undefined && zero.has(x),
    ).length;
  };
  const embedded = outputsOf(gatherOp.name).filter(isSequence);
  // What attention gives for a token that sees no key is not zero.
  const attended = outputsOf(attentionOp.name).filter((tensor) => isSequence(tensor) && tensor.node.id < last);
  const choices = [[], embedded, [...embedded, ...attended]].map((masked) => ({
    masked,
    saved: met(masked) - masked.length,
  }));
  const best = choices.reduce((a, b) => (b.saved > a.saved ? b : a));
  const masked = new Set<Tensor>(best.masked);
  for (const { node } of outputsOf(linearAttentionOp.name)) {
    const source = commonSource(graph, node, masked);
    if (source !== undefined) masked.add(source);
  }
  return { masked, zero: zerosOf(graph, masked) };
}

/** A tensor from which zeros reach both the decay and what is written to the state: a step size, say. */
function commonSource(graph: Graph, { inputs }: Node, masked: ReadonlySet<Tensor>): Tensor | undefined {
  const [, key, value, decay] = inputs;
  if (decay === undefined) return undefined;
  for (let source: Tensor | undefined = decay; source !== undefined && isSequence(source); ) {
    const zero = zerosOf(graph, new Set([...masked, source]));
    const written = [key, value].some((tensor) => tensor !== undefined && zero.has(tensor));
    if (written && zero.has(decay)) return source;
    const { op, inputs: before }: Node = source.node;
    if (op.name !== mapOp.name && op.name !== reshapeOp.name) return undefined;
    source = before.find((tensor) => tensor !== undefined && isSequence(tensor));
  }
  return undefined;
}
