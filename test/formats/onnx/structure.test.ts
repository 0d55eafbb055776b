// Structural ops, elementwise ops, products and norms in onnxruntime agree with the references.
import { describe, expect, it } from "vitest";
import { OnnxError } from "../../../src/formats/onnx/error.ts";
import { graphToOnnx } from "../../../src/formats/onnx/graph.ts";
import * as ex from "../../../src/graph/expression.ts";
import { makeGraph } from "../../../src/graph/graph.ts";
import { input } from "../../../src/graph/leaves.ts";
import { withScope } from "../../../src/graph/types.ts";
import { concat } from "../../../src/ops/concat/op.ts";
import { gather } from "../../../src/ops/gather/op.ts";
import { addLayerNorm, layerNorm } from "../../../src/ops/layer-norm/op.ts";
import { map } from "../../../src/ops/map/op.ts";
import { linear, matmul } from "../../../src/ops/matmul/op.ts";
import { reduce } from "../../../src/ops/reduce/op.ts";
import { reshape } from "../../../src/ops/reshape/op.ts";
import { addRmsNorm, l2Norm, rmsNorm } from "../../../src/ops/rms-norm/op.ts";
import { slice } from "../../../src/ops/slice/op.ts";
import { sliceGradient } from "../../../src/ops/slice-gradient/op.ts";
import { transpose } from "../../../src/ops/transpose/op.ts";
import { checkOnnx } from "./check.ts";

const [a, b, c] = [ex.input(0), ex.input(1), ex.input(2)];

describe("structural ops", () => {
  it("slices, concatenates, transposes and reshapes", () =>
    checkOnnx({
      leaves: { x: { shape: ["B", "T", 6] } },
      build: (leaf) => ({
        last: slice(leaf("x"), 1, -1, 1),
        middle: slice(leaf("x"), 2, 1, 3),
        nearEnd: slice(leaf("x"), 2, -3, 2),
        swapped: transpose(reshape(leaf("x"), ["B", "T", 2, 3]), [0, 2, 1, 3]),
        exchanged: reshape(transpose(leaf("x"), [1, 0, 2]), ["T", 3, 2, "B"]),
        joined: concat([slice(leaf("x"), 2, 4, 2), leaf("x"), slice(leaf("x"), 2, 0, 1)], 2),
        withConstant: concat([transpose(reshape(leaf("x"), [6, "B", "T"]), [1, 2, 0]), leaf("x")], 2),
      }),
    }));

  it.each(["sum", "mean", "max", "sum_squares"] as const)("reduces by %s", (fn) =>
    checkOnnx({
      leaves: { x: { shape: ["B", "T", 4] } },
      build: (leaf) => ({
        inner: reduce(leaf("x"), fn, [2]),
        outer: reduce(leaf("x"), fn, [0, 1]),
        all: reduce(leaf("x"), fn),
        kept: reduce(leaf("x"), fn, [1], { keepDims: true }),
      }),
    }),
  );

  it("looks rows up", () =>
    checkOnnx({
      leaves: { table: { shape: [7, 3], weight: true }, ids: { shape: ["B", "T"], ids: true, range: [0, 7] } },
      build: (leaf) => ({ rows: gather(leaf("table"), leaf("ids")) }),
    }));
});

describe("map", () => {
  const leaves = { x: { shape: ["B", "T", 5] }, y: { shape: [5] }, z: { shape: ["B", "T", 1] } } as const;
  const expressions = {
    arithmetic: ex.sub(ex.div(ex.mul(a, b), ex.add(c, ex.literal(3))), ex.neg(a)),
    extremes: ex.call("max", ex.call("min", a, b), ex.literal(-0.25)),
    choice: ex.call("where", ex.call("greater", a, b), ex.call("abs", c), ex.call("sqrt", ex.call("abs", a))),
    exponentials: ex.add(ex.exp(a), ex.add(ex.call("log", ex.call("abs", b)), ex.call("log1p", ex.exp(c)))),
    activations: ex.add(ex.silu(a), ex.add(ex.tanh(b), ex.softplus(ex.mul(c, ex.literal(30))))),
    gelus: ex.add(ex.gelu(a), ex.geluTanh(b)),
    waves: ex.mul(ex.call("sin", a), ex.call("cos", b)),
    constant: ex.literal(2.5),
  };
  it.each(Object.entries(expressions))("computes %s", (_, expression) =>
    checkOnnx({
      leaves,
      // Everything is an input of the graph even where an expression reads less.
      build: (leaf) => ({
        result: map([leaf("x"), leaf("y"), leaf("z")], expression),
        all: map([leaf("x"), leaf("y"), leaf("z")], ex.add(a, ex.add(b, c))),
      }),
    }),
  );

  it("computes equal parts once", () => {
    const shared = ex.exp(a);
    return checkOnnx({
      leaves: { x: { shape: ["B", "T"] } },
      build: (leaf) => ({ y: map([leaf("x")], ex.mul(shared, ex.add(shared, ex.literal(1)))) }),
      operators: { Exp: 1 },
    });
  });
});

describe("matmul", () => {
  const weights = { w: { shape: [4, 6], weight: true }, bias: { shape: [4], weight: true } } as const;

  it("stores the weight of a linear layer as it is multiplied", () =>
    checkOnnx({
      leaves: { x: { shape: ["B", "T", 6] }, ...weights },
      build: (leaf) => ({ y: linear(leaf("x"), leaf("w"), leaf("bias")), z: linear(leaf("x"), leaf("w")) }),
      operators: { Transpose: 0, MatMul: 2 },
    }));

  it("stores an embedding that is also the head once", () =>
    checkOnnx({
      leaves: { ids: { shape: ["B", "T"], ids: true, range: [0, 4] }, ...weights },
      build: (leaf) => ({ y: linear(gather(leaf("w"), leaf("ids")), leaf("w"), leaf("bias")) }),
      operators: { Gemm: 1, Transpose: 0 },
    }));

  it("multiplies batch by batch, with either operand transposed", () =>
    checkOnnx({
      leaves: {
        p: { shape: ["B", 3, "T", 4] },
        q: { shape: ["B", 3, 4, "T"] },
        r: { shape: ["B", 3, 5, 4] },
        s: { shape: [4, 2] },
      },
      build: (leaf) => ({
        plain: matmul(leaf("p"), leaf("q")),
        left: matmul(leaf("q"), leaf("q"), { transposeA: true }),
        right: matmul(leaf("p"), leaf("r"), { transposeB: true }),
        both: matmul(leaf("q"), leaf("r"), { transposeA: true, transposeB: true }),
        shared: matmul(leaf("p"), leaf("s")),
      }),
    }));
});

describe("norms", () => {
  const leaves = {
    x: { shape: ["B", "T", 6] },
    gate: { shape: ["B", "T", 6] },
    residual: { shape: ["B", "T", 6] },
    weight: { shape: [6], weight: true },
    bias: { shape: [6], weight: true },
  } as const;

  it.each([1, 2] as const)("rms_norm with %i groups of channels, in every mode", (groups) =>
    checkOnnx({
      leaves,
      build: (leaf) => ({
        plain: rmsNorm(leaf("x"), { eps: 1e-5, groups }),
        weighted: rmsNorm(leaf("x"), { eps: 1e-5, groups, weight: leaf("weight"), scale: 3 }),
        onePlus: rmsNorm(leaf("x"), { eps: 1e-5, groups, weight: leaf("weight"), mode: "one_plus_weight" }),
        after: rmsNorm(leaf("x"), { eps: 1e-5, groups, weight: leaf("weight"), gate: leaf("gate") }),
        before: rmsNorm(leaf("x"), {
          eps: 1e-5,
          groups,
          weight: leaf("weight"),
          gate: leaf("gate"),
          normBeforeGate: false,
          gateActivation: "sigmoid",
        }),
        unit: l2Norm(leaf("x"), { eps: 1e-6 }),
        ...addRmsNorm(leaf("x"), leaf("residual"), { eps: 1e-5, groups, weight: leaf("weight") }),
        // Every leaf is an input of the graph, and the bias is read by the other norm only.
        layer: layerNorm(leaf("x"), { eps: 1e-5, weight: leaf("weight"), bias: leaf("bias") }),
      }),
    }),
  );

  it("rms_norm of four axes with a residual", () =>
    checkOnnx({
      leaves: { x: { shape: ["B", "T", 2, 6] }, residual: { shape: ["B", "T", 2, 6] }, weight: leaves.weight },
      build: (leaf) => ({ ...addRmsNorm(leaf("x"), leaf("residual"), { eps: 1e-5, weight: leaf("weight") }) }),
    }));

  it("layer_norm with and without weights and residual", () =>
    checkOnnx({
      leaves: { x: leaves.x, residual: leaves.residual, weight: leaves.weight, bias: leaves.bias },
      build: (leaf) => ({
        plain: layerNorm(leaf("x"), { eps: 1e-5 }),
        ...addLayerNorm(leaf("x"), leaf("residual"), { eps: 1e-5, weight: leaf("weight"), bias: leaf("bias") }),
      }),
    }));
});

describe("an op without a form in ONNX", () => {
  it("is named, with its place in the model", () => {
    const dx = withScope("training", () => sliceGradient(input("dy", ["B", 2]), 1, 0, 5));
    const graph = makeGraph({ outputs: [{ name: "dx", tensor: dx }] });
    expect(() => graphToOnnx(graph, { dialect: "ort" })).toThrow(OnnxError);
    expect(() => graphToOnnx(graph, { dialect: "ort" })).toThrow(/slice_gradient in training can't be written in ONNX/);
  });
});

describe("what no output needs", () => {
  it("is left out of the file", () => {
    const x = input("x", ["B", 2]);
    const graph = makeGraph({ outputs: [{ name: "y", tensor: concat([x, x], 1) }] });
    const builder = graphToOnnx(graph, { dialect: "ort" });
    builder.nodes("Exp", ["x"], 1);
    builder.floats("unused", [1], () => {
      throw new Error("read for nothing");
    });
    builder.encode();
    expect([...builder.operators().keys()].sort()).toEqual(["Concat", "Identity"]);
  });
});
