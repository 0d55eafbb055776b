// Products that read the same tensor become one, and compute what they did; those that must stay apart do.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as ex from "../../../src/graph/expression.ts";
import { makeGraph } from "../../../src/graph/graph.ts";
import { input, parameter } from "../../../src/graph/leaves.ts";
import type { Graph, Tensor } from "../../../src/graph/types.ts";
import { causalConv } from "../../../src/ops/causal-conv/op.ts";
import { gather } from "../../../src/ops/gather/op.ts";
import { add, pointwise } from "../../../src/ops/map/op.ts";
import { linear, matmul } from "../../../src/ops/matmul/op.ts";
import { joinedName, mergeProducts } from "../../../src/ops/passes/merge-products.ts";
import { topK } from "../../../src/ops/top-k/op.ts";
import { required } from "../../../src/ops/types.ts";
import { compute, countOf, joinedValue, sizesOf } from "./values.ts";

const x = input("x", ["B", "T", 4]);
const z = input("z", ["B", "T", 4]);
const weight = (name: string, rows = 3, columns = 4): Tensor => parameter(name, [rows, columns], { kind: "zeros" });
const vector = (name: string, size = 3): Tensor => parameter(name, [size], { kind: "zeros" });
const graphOf = (...tensors: readonly Tensor[]): Graph =>
  makeGraph({ outputs: tensors.map((tensor, i) => ({ name: `y${i}`, tensor })) });

/** What is left after merging, once it is known to compute the same. */
function merged(graph: Graph): { readonly graph: Graph; readonly joined: Readonly<Record<string, readonly string[]>> } {
  const result = mergeProducts(graph);
  const sizes = sizesOf(graph);
  expect(compute(result.graph, (node) => joinedValue(node, result.joined, sizes))).toEqual(compute(graph));
  return { graph: result.graph, joined: Object.fromEntries(result.joined) };
}

describe("merging products", () => {
  it("makes one of those that read the same tensor, each taking its columns", () => {
    const { graph, joined } = merged(
      graphOf(...["q", "k", "v"].map((name, i) => linear(x, weight(`a.${name}.weight`, 3 + i)))),
    );
    expect(countOf(graph, "matmul")).toBe(1);
    expect(joined).toEqual({ "a.q+k+v.weight": ["a.q.weight", "a.k.weight", "a.v.weight"] });
    expect(graph.parameters.map(({ tensor }) => tensor.shape)).toEqual([[12, 4]]);
  });

  it("joins biases as it does weights, and keeps products without one apart from those with one", () => {
    const { graph, joined } = merged(
      graphOf(
        linear(x, weight("q.weight"), vector("q.bias")),
        linear(x, weight("k.weight"), vector("k.bias")),
        linear(x, weight("g.weight")),
        linear(x, weight("h.weight")),
      ),
    );
    expect(countOf(graph, "matmul")).toBe(2);
    expect(Object.keys(joined).sort()).toEqual(["g+h.weight", "q+k.bias", "q+k.weight"]);
  });

  it("joins the weights of blocks that share them once", () => {
    const [q, k] = [weight("q.weight"), weight("k.weight")];
    const { graph, joined } = merged(graphOf(linear(x, q), linear(x, k), linear(z, q), linear(z, k)));
    expect(countOf(graph, "matmul")).toBe(2);
    expect(graph.parameters.map(({ name }) => name)).toEqual(Object.keys(joined));
    expect(joined).toEqual({ "q+k.weight": ["q.weight", "k.weight"] });
  });

  it("puts what convolutions read first, side by side", () => {
    const convolved = (name: string): Tensor => causalConv(linear(x, weight(name)), weight(`${name}.conv`)).output;
    const { joined } = merged(graphOf(convolved("a"), linear(x, weight("gate")), convolved("b")));
    expect(Object.values(joined)).toEqual([["a", "b", "gate"]]);
  });

  it("merges products of what merged products give", () => {
    const hidden = add(linear(x, weight("a.up", 4)), linear(x, weight("a.gate", 4)));
    const { graph } = merged(graphOf(linear(hidden, weight("b.up")), linear(hidden, weight("b.gate"))));
    expect(countOf(graph, "matmul")).toBe(2);
  });

  const routing = {
    k: 1,
    score: "softmax",
    normalize: false,
    normalizeEps: 0,
    scale: 1,
    groups: 1,
    topGroups: 1,
  } as const;
  const [v, w, b] = [weight("v"), weight("w"), vector("b")];
  const tokens = input("tokens", ["B", "T"], "i32");
  it.each<{ what: string; outputs: readonly Tensor[] }>([
    { what: "different inputs", outputs: [linear(x, v), linear(z, w)] },
    { what: "a bias on one side only", outputs: [linear(x, v, b), linear(x, w)] },
    { what: "a bias that both have", outputs: [linear(x, v, b), linear(x, w, b)] },
    { what: "a weight that another product reads", outputs: [linear(x, v), linear(x, w), linear(z, v)] },
    { what: "the same weight twice", outputs: [linear(x, v), linear(x, v)] },
    { what: "a table of embeddings that is the head too", outputs: [linear(x, v), linear(x, w), gather(w, tokens)] },
    { what: "a router", outputs: [topK(linear(x, v), routing).weights, linear(x, w)] },
    { what: "weights that are not transposed", outputs: ["a", "c"].map((name) => matmul(x, weight(name, 4, 3))) },
    { what: "weights that are computed", outputs: [linear(x, pointwise(v, ex.exp)), linear(x, pointwise(w, ex.tanh))] },
    {
      what: "shared weights with biases of their own",
      outputs: [x, z].flatMap((from, i) => [linear(from, v, vector(`v${i}`)), linear(from, w, vector(`w${i}`))]),
    },
    {
      what: "weights in another order in a block that shares them",
      outputs: [linear(x, v), linear(x, w), linear(z, w), linear(z, v)],
    },
  ])("leaves alone $what", ({ outputs }) => {
    const graph = graphOf(...outputs);
    const result = merged(graph);
    expect(result.joined).toEqual({});
    expect(result.graph.nodes).toEqual(graph.nodes);
  });

  it("leaves alone weights that are too large for one tensor", () => {
    const wide = input("wide", ["B", 2 ** 13]);
    const of = (rows: number): Graph =>
      graphOf(linear(wide, weight("a", rows, 2 ** 13)), linear(wide, weight("b", rows, 2 ** 13)));
    expect(countOf(mergeProducts(of(2 ** 14)).graph, "matmul")).toBe(1);
    expect(countOf(mergeProducts(of(2 ** 14 + 1)).graph, "matmul")).toBe(2);
  });

  it("names what is joined after its parts", () => {
    expect(joinedName(["layers.0.q.weight"])).toBe("layers.0.q.weight");
    expect(joinedName(["layers.0.q.weight", "layers.0.k.weight"])).toBe("layers.0.q+k.weight");
    expect(joinedName(["layers.0.a.q.weight", "layers.0.gate.weight"])).toBe("layers.0.a.q+gate.weight");
    expect(joinedName(["a", "b", "c"])).toBe("a+b+c");
  });

  it("keeps the numbers of any graph of linear layers", () => {
    const step = fc.record({
      from: fc.nat(),
      rows: fc.constantFrom(3, 4),
      /** Of a layer that is there already, where it fits. */
      shared: fc.option(fc.nat(), { nil: undefined, freq: 3 }),
      bias: fc.boolean(),
      bend: fc.boolean(),
    });
    let most = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 2, maxLength: 9 }), (steps) => {
        const tensors = [x, z];
        const layers: { readonly weight: Tensor; readonly bias: Tensor | undefined }[] = [];
        for (const { from, rows, shared, bias, bend } of steps) {
          const source = required(tensors[from % tensors.length], "source");
          const columns = Number(source.shape[2]);
          const fresh = {
            weight: weight(`m.${layers.length}.weight`, rows, columns),
            bias: bias ? vector(`m.${layers.length}.bias`, rows) : undefined,
          };
          const known = shared === undefined ? undefined : layers[shared % Math.max(1, layers.length)];
          const layer = known?.weight.shape[1] === columns ? known : fresh;
          if (layer === fresh) layers.push(fresh);
          const y = linear(source, layer.weight, layer.bias);
          tensors.push(bend ? pointwise(y, ex.tanh) : y);
        }
        const graph = graphOf(...tensors.slice(2));
        const result = merged(graph);
        const [before, after] = [countOf(graph, "matmul"), countOf(result.graph, "matmul")];
        const parts = Object.values(result.joined).flat();
        expect(new Set(parts).size).toBe(parts.length);
        expect(after).toBeLessThanOrEqual(before);
        most = Math.max(most, before - after);
      }),
      { numRuns: 100, seed: 4 },
    );
    // Graphs in which nothing is merged would prove nothing.
    expect(most).toBeGreaterThan(1);
  });
});
