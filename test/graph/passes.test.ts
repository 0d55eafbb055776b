// Differentiation and the passes keep the meaning of a graph while they change its shape.
import { describe, expect, it } from "vitest";
import * as ex from "../../src/graph/expression.ts";
import { makeGraph } from "../../src/graph/graph.ts";
import { constant, input, parameter } from "../../src/graph/leaves.ts";
import { mergeCommonSubexpressions } from "../../src/graph/optimise.ts";
import { printGraph } from "../../src/graph/print.ts";
import { GraphError } from "../../src/graph/shape.ts";
import type { Graph, Tensor } from "../../src/graph/types.ts";
import { inScope, withScope } from "../../src/graph/types.ts";
import { causalConv } from "../../src/ops/causal-conv/op.ts";
import { differentiate } from "../../src/ops/gradients.ts";
import { add, map, mul, pointwise } from "../../src/ops/map/op.ts";
import { linear } from "../../src/ops/matmul/op.ts";
import { fuseMaps } from "../../src/ops/passes/fuse-maps.ts";
import { foldByReference, optimise } from "../../src/ops/passes/optimise.ts";
import { reduce } from "../../src/ops/reduce/op.ts";
import { rmsNorm } from "../../src/ops/rms-norm/op.ts";

const names = (graph: Graph): string[] => graph.nodes.filter((n) => n.op.leaf === undefined).map((n) => n.op.name);
const single = (tensor: Tensor): Graph => makeGraph({ outputs: [{ name: "y", tensor }] });
const special = (key: string, value: unknown): string | undefined =>
  key === "expression" ? ex.formatExpression(value as ex.Expression) : undefined;

describe("passes", () => {
  const x = input("x", ["B", "T", 4]);
  const z = input("z", ["B", "T", 4]);
  const weight = parameter("w", [4], { kind: "ones" });

  it("merge equal subexpressions and keep different ones", () => {
    const y = add(mul(pointwise(x, ex.exp), z), mul(pointwise(x, ex.exp), pointwise(x, ex.tanh)));
    expect(names(mergeCommonSubexpressions(single(y)))).toHaveLength(5);
  });

  it("fold constants by the reference implementations", () => {
    const graph = foldByReference(single(add(x, mul(constant([1, 2, 3, 4]), constant([2], [])))));
    expect(names(graph)).toEqual(["map"]);
    expect(printGraph(graph, { special })).toContain("values: [2, 4, 6, 8]");
  });

  it("fuse chains of maps into one, but not a dear result with several readers", () => {
    const chain = pointwise(add(mul(x, z), weight), ex.silu);
    expect(names(fuseMaps(single(chain)))).toEqual(["map"]);
    const shared = pointwise(x, ex.exp);
    const both = makeGraph({
      outputs: [
        { name: "a", tensor: mul(shared, z) },
        { name: "b", tensor: add(shared, z) },
      ],
    });
    expect(names(fuseMaps(both))).toEqual(["map", "map", "map"]);
  });

  it("fuse convolution + SiLU, residual + norm and gates into the kernels that have them", () => {
    const w = parameter("conv", [4, 3], { kind: "ones" });
    const { output } = causalConv(x, w, {});
    const gated = rmsNorm(mul(pointwise(output, ex.silu), pointwise(z, ex.silu)), { eps: 1e-5, weight });
    const stream = add(x, gated);
    const after = mul(rmsNorm(stream, { eps: 1e-5, weight }), pointwise(z, ex.sigmoid));
    const graph = optimise(single(add(stream, after)));
    expect(printGraph(graph, { special })).toMatchInlineSnapshot(`
      "input x f32[B, T, 4]
      input z f32[B, T, 4]
      parameter w f32[4]
      parameter conv f32[4, 3]
      %0 f32[B, T, 4], %1 f32[B, 2, 4] = causal_conv(x, conv, -, -) {activation: silu}
      %2 f32[B, T, 4] = rms_norm(%0, w, z, -) {eps: 0.00001, groups: 1, mode: weight, normBeforeGate: false, gateActivation: silu, scale: 1}
      %3 f32[B, T, 4], %4 f32[B, T, 4] = rms_norm(x, w, -, %2) {eps: 0.00001, groups: 1, mode: weight, normBeforeGate: true, gateActivation: silu, scale: 1}
      %5 f32[B, T, 4] = map(%4, %3, z) {expression: (x0 + (x1 * sigmoid(x2)))}
      return y = %5
      "
    `);
  });

  it("give gradients whose shapes are those of the values, summed over every use", () => {
    const w = parameter("m", [3, 4], { kind: "ones" });
    const loss = reduce(add(reduce(linear(x, w), "sum_squares"), reduce(linear(z, w), "sum")), "sum");
    const [dw] = differentiate([{ tensor: loss, gradient: constant([1], []) }], [w]);
    expect(dw?.shape).toEqual([3, 4]);
    expect(names(single(dw as Tensor)).filter((name) => name === "matmul_gradient")).toHaveLength(2);
  });

  it("return nothing for what the loss does not depend on", () => {
    const loss = reduce(x, "sum");
    expect(differentiate([{ tensor: loss, gradient: constant([1], []) }], [z])).toEqual([undefined]);
  });

  it("label nodes with the scope they were made in", () => {
    const y = withScope("layers.0", () => withScope("mixer", () => pointwise(x, ex.exp)));
    expect(y.node.scope).toBe("layers.0.mixer");
    expect(inScope("head", () => pointwise(x, ex.exp)).node.scope).toBe("head");
  });

  it("say what does not fit", () => {
    expect(() => add(x, input("q", ["B", "T", 5]))).toThrow(GraphError);
    expect(() => add(x, input("q", ["B", "T", 5]))).toThrow("do not broadcast: 4 against 5");
    expect(() => makeGraph({ outputs: [{ name: "y", tensor: add(input("n", [2]), input("n", [2])) }] })).toThrow(
      'two different leaves are named "n"',
    );
    expect(() => map([x, input("i", ["B"], "i32")], ex.add(ex.input(0), ex.input(1)))).toThrow("map: input 1 is i32");
  });
});
