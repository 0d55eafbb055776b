// Convolutions that stand side by side become one, and their windows one window: the same numbers, and the same windows next to each
// other.
import { describe, expect, it } from "vitest";
import * as ex from "../../../src/graph/expression.ts";
import { leafName, makeGraph } from "../../../src/graph/graph.ts";
import { input, parameter, state } from "../../../src/graph/leaves.ts";
import { type Graph, inScope, type NamedTensor, type StateBinding, type Tensor } from "../../../src/graph/types.ts";
import { type ConvActivation, causalConv } from "../../../src/ops/causal-conv/op.ts";
import { add, pointwise } from "../../../src/ops/map/op.ts";
import { linear } from "../../../src/ops/matmul/op.ts";
import { mergeConvolutions } from "../../../src/ops/passes/merge-convolutions.ts";
import { mergeProducts } from "../../../src/ops/passes/merge-products.ts";
import { slice } from "../../../src/ops/slice/op.ts";
import { bindings, compute, countOf, host, joinedValue, leafValue, named, sizesOf } from "./values.ts";

const u = input("u", ["B", "T", 9]);
const vector = (name: string, size: number): Tensor => parameter(name, [size], { kind: "zeros" });
const matrix = (name: string, rows: number, columns: number): Tensor =>
  parameter(name, [rows, columns], { kind: "zeros" });
const projected = (name: string, channels: number): Tensor => linear(u, matrix(`${name}.in`, channels, 9));

interface Convolution {
  readonly name: string;
  readonly x: Tensor;
  readonly taps?: number;
  readonly activation?: ConvActivation;
  readonly bias?: boolean;
  readonly scope?: string;
  readonly weight?: Tensor;
  /** Without a window, it begins with zeros in every call. */
  readonly stateless?: boolean;
}

interface Convolved {
  readonly output: NamedTensor;
  readonly state: StateBinding | undefined;
}

function convolution({
  name,
  x,
  taps = 3,
  activation = "none",
  bias,
  scope = "mixer",
  ...rest
}: Convolution): Convolved {
  const channels = Number(x.shape[2]);
  const window = rest.stateless ? undefined : state(`conv_${name}`, ["B", taps - 1, channels]);
  const { output, present } = inScope(scope, () =>
    causalConv(x, rest.weight ?? matrix(`${name}.weight`, channels, taps), {
      activation,
      past: window,
      bias: bias ? vector(`${name}.bias`, channels) : undefined,
    }),
  );
  return {
    output: { name, tensor: output },
    state: window && { name: `conv_${name}`, input: window, output: present },
  };
}

const graphOf = (convolutions: readonly Convolved[], others: readonly NamedTensor[] = []): Graph =>
  makeGraph({
    outputs: [...convolutions.map(({ output }) => output), ...others],
    states: convolutions.flatMap((made) => made.state ?? []),
  });

/** Rows [B, tokens, channels] side by side. */
function sideBySide(parts: readonly (readonly number[])[], tokens: number): number[] {
  const rows = bindings.B * tokens;
  return Array.from({ length: rows }, (_, row) =>
    parts.flatMap((part) => part.slice((row * part.length) / rows, ((row + 1) * part.length) / rows)),
  ).flat();
}

/** What is left after merging, once it is known to compute the same from the same windows. */
function merged(
  graph: Graph,
  from = graph,
): { readonly graph: Graph; readonly joined: Readonly<Record<string, readonly string[]>> } {
  const products = from === graph ? new Map<string, readonly string[]>() : mergeProducts(graph).joined;
  const result = mergeConvolutions(from);
  const joined = new Map([...products, ...result.joined]);
  const sizes = sizesOf(graph);
  const before = compute(graph);
  const windows = new Map(graph.states.map(({ name, input: { shape } }) => [name, Number(shape[2])]));
  const tokens = Number(graph.states[0]?.input.shape[1]);
  const partsOf = (name: string): string[] => name.split("+");
  const after = compute(result.graph, (node) => {
    const { shape } = leafValue(node);
    if (node.op.leaf !== "state") return joinedValue(node, joined, sizes);
    const parts = partsOf(leafName(node)).map((part) => [
      ...named(part, bindings.B * (shape[1] ?? 0) * (windows.get(part) ?? Number.NaN)),
    ]);
    return host(shape, Float64Array.from(sideBySide(parts, shape[1] ?? 0)));
  });
  for (const { name } of graph.outputs) expect(after[name], name).toEqual(before[name]);
  for (const { name } of result.graph.states) {
    const parts = partsOf(name).map((part) => before[part] ?? []);
    expect(after[name], name).toEqual(parts.length === 1 ? parts[0] : sideBySide(parts, tokens));
  }
  return { graph: result.graph, joined: Object.fromEntries(joined) };
}

describe("merging convolutions", () => {
  const [x, b, c] = [projected("x", 4), projected("b", 2), projected("c", 3)];
  const three = [
    { name: "x", x },
    { name: "b", x: b },
    { name: "c", x: c },
  ];

  it("makes one of those of a block, and one window of theirs", () => {
    const { graph, joined } = merged(graphOf(three.map(convolution)));
    expect(countOf(graph, "causal_conv")).toBe(1);
    expect(joined).toEqual({ "x+b+c.weight": ["x.weight", "b.weight", "c.weight"] });
    expect(graph.states.map(({ name, input: { shape } }) => [name, shape])).toEqual([
      ["conv_x+conv_b+conv_c", ["B", 2, 9]],
    ]);
  });

  it("keeps activation and biases", () => {
    const { graph, joined } = merged(
      graphOf(three.map((one) => convolution({ ...one, activation: "silu", bias: true }))),
    );
    expect(countOf(graph, "causal_conv")).toBe(1);
    expect(joined["x+b+c.bias"]).toEqual(["x.bias", "b.bias", "c.bias"]);
  });

  it("reads what a merged product gives as it is", () => {
    const graph = graphOf(three.map(convolution));
    const result = merged(graph, mergeProducts(graph).graph);
    expect(["matmul", "causal_conv", "concat"].map((op) => countOf(result.graph, op))).toEqual([1, 1, 0]);
  });

  it("joins parts of a tensor that are not next to each other, or in another order", () => {
    const apart = [slice(u, 2, 0, 2), slice(u, 2, 5, 3)];
    const swapped = [slice(u, 2, 4, 3), slice(u, 2, 0, 4)];
    for (const parts of [apart, swapped]) {
      const { graph } = merged(graphOf(parts.map((part, i) => convolution({ name: `p${i}`, x: part }))));
      expect(["causal_conv", "concat"].map((op) => countOf(graph, op))).toEqual([1, 1]);
    }
  });

  it("merges those of each block by themselves, and leaves other states in their places", () => {
    const blocks = ["one", "two"].map((scope) =>
      [x, b].map((from, i) => convolution({ name: `${scope}${i}`, x: from, scope })),
    );
    const h = state("h", ["B", 2, 3]);
    const other = { output: { name: "h", tensor: h }, state: { name: "h", input: h, output: pointwise(h, ex.tanh) } };
    const { graph } = merged(graphOf([...(blocks[0] ?? []), other, ...(blocks[1] ?? [])]));
    expect(graph.states.map(({ name }) => name)).toEqual(["conv_one0+conv_one1", "h", "conv_two0+conv_two1"]);
  });

  const pair = (change: Partial<Convolution>): Convolved[] => [
    convolution({ name: "x", x }),
    convolution({ name: "b", x: b, ...change }),
  ];
  const tied = matrix("tied", 4, 3);
  const [first, second] = [convolution({ name: "x", x }), convolution({ name: "b", x: b })];
  const window = (convolved: Convolved): Tensor => (convolved.state as StateBinding).input;
  const next = (convolved: Convolved): Tensor => (convolved.state as StateBinding).output;
  const chained = convolution({ name: "b", x: first.output.tensor });
  it.each<{ what: string; graph: Graph }>([
    { what: "different taps", graph: graphOf(pair({ taps: 4 })) },
    { what: "different activations", graph: graphOf(pair({ activation: "silu" })) },
    { what: "a bias on one side only", graph: graphOf(pair({ bias: true })) },
    { what: "different blocks", graph: graphOf(pair({ scope: "other" })) },
    { what: "one that keeps no window", graph: graphOf(pair({ stateless: true })) },
    { what: "one after the other", graph: graphOf([first, chained]) },
    {
      what: "weights that both share",
      graph: graphOf([x, x].map((from, i) => convolution({ name: `t${i}`, x: from, weight: tied }))),
    },
    { what: "weights that are computed", graph: graphOf(pair({ weight: pointwise(matrix("raw", 2, 3), ex.exp) })) },
    {
      what: "a window that something else reads",
      graph: graphOf([first, second], [{ name: "w", tensor: pointwise(window(first), ex.exp) }]),
    },
    {
      what: "a next window that something reads",
      graph: graphOf([first, second], [{ name: "w", tensor: pointwise(next(second), ex.exp) }]),
    },
    { what: "a window that is an output", graph: graphOf([first, second], [{ name: "w", tensor: window(second) }]) },
    { what: "a next window that is an output", graph: graphOf([first, second], [{ name: "w", tensor: next(second) }]) },
    { what: "one by itself", graph: graphOf([first], [{ name: "sum", tensor: add(u, u) }]) },
  ])("leaves alone $what", ({ graph }) => {
    const result = mergeConvolutions(graph);
    expect([...result.joined]).toEqual([]);
    expect(result.graph).toEqual(graph);
  });
});
