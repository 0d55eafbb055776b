// The backward pass in ONNX agrees with our own gradients, op by op.
import { describe, it } from "vitest";
import * as ex from "../../../src/graph/expression.ts";
import { attention } from "../../../src/ops/attention/op.ts";
import { causalConv } from "../../../src/ops/causal-conv/op.ts";
import { concat } from "../../../src/ops/concat/op.ts";
import { crossEntropy } from "../../../src/ops/cross-entropy/op.ts";
import { gather } from "../../../src/ops/gather/op.ts";
import { layerNorm } from "../../../src/ops/layer-norm/op.ts";
import { longConvolution } from "../../../src/ops/long-convolution/op.ts";
import { map } from "../../../src/ops/map/op.ts";
import { linear, matmul } from "../../../src/ops/matmul/op.ts";
import { reduce } from "../../../src/ops/reduce/op.ts";
import { reshape } from "../../../src/ops/reshape/op.ts";
import { rope } from "../../../src/ops/rope/op.ts";
import { s4dKernel } from "../../../src/ops/s4d-kernel/op.ts";
import type { Discretization } from "../../../src/ops/s4d-kernel/parameters.ts";
import { slice } from "../../../src/ops/slice/op.ts";
import { transpose } from "../../../src/ops/transpose/op.ts";
import { checkGradients } from "./gradients.ts";

const [a, b, c] = [ex.input(0), ex.input(1), ex.input(2)];

describe("map", () => {
  const expressions = {
    arithmetic: ex.sub(ex.div(ex.mul(a, b), ex.add(c, ex.literal(3))), ex.neg(a)),
    extremes: ex.call("max", ex.call("min", a, b), ex.mul(c, ex.literal(-0.25))),
    choice: ex.call("where", ex.call("greater", a, b), ex.call("abs", c), ex.call("sqrt", ex.add(a, ex.literal(2)))),
    exponentials: ex.add(ex.exp(a), ex.add(ex.call("log", ex.add(b, ex.literal(2))), ex.call("log1p", ex.exp(c)))),
    activations: ex.add(ex.silu(a), ex.add(ex.tanh(b), ex.softplus(ex.mul(c, ex.literal(30))))),
    gelus: ex.add(ex.gelu(a), ex.geluTanh(b)),
    waves: ex.mul(ex.call("sin", a), ex.call("cos", b)),
  };

  it.each(Object.entries(expressions))("%s, with operands stretched along every axis", (_, expression) =>
    checkGradients({
      leaves: { x: { shape: ["B", "T", 5] }, y: { shape: [5] }, z: { shape: ["B", 1, 1] } },
      build: (leaf) => ({
        result: map([leaf("x"), leaf("y"), leaf("z")], expression),
        other: map([leaf("z"), leaf("x"), leaf("y")], expression),
      }),
    }),
  );
});

describe("structural ops", () => {
  it("slice, concat, transpose, reshape", () =>
    checkGradients({
      leaves: { x: { shape: ["B", "T", 6] } },
      build: (leaf) => ({
        last: slice(leaf("x"), 1, -1, 1),
        middle: slice(leaf("x"), 2, 1, 3),
        nearEnd: slice(leaf("x"), 2, -3, 2),
        swapped: transpose(reshape(leaf("x"), ["B", "T", 2, 3]), [0, 2, 1, 3]),
        joined: concat([slice(leaf("x"), 2, 4, 2), leaf("x"), slice(leaf("x"), 2, 0, 1)], 2),
        first: slice(transpose(leaf("x"), [1, 2, 0]), 1, 0, 1),
      }),
    }));

  it.each(["sum", "max", "sum_squares"] as const)("reduce by %s", (fn) =>
    checkGradients({
      leaves: { x: { shape: ["B", "T", 4] } },
      build: (leaf) => ({
        inner: reduce(leaf("x"), fn, [2]),
        outer: reduce(leaf("x"), fn, [0, 1]),
        all: reduce(leaf("x"), fn),
        kept: reduce(leaf("x"), fn, [1], { keepDims: true }),
      }),
    }),
  );

  it("reduce by mean", () =>
    checkGradients({
      leaves: { x: { shape: ["B", "T", 4] } },
      build: (leaf) => ({ inner: reduce(leaf("x"), "mean", [2]) }),
    }));

  it("gather, of rows that are read more than once", () =>
    checkGradients({
      leaves: { table: { shape: [3, 4] }, ids: { shape: ["B", "T"], ids: true, range: [0, 3] } },
      build: (leaf) => ({ rows: gather(leaf("table"), leaf("ids")) }),
    }));
});

describe("products and norms", () => {
  it("matmul, with either operand transposed or shared by a batch", () =>
    checkGradients({
      leaves: {
        p: { shape: ["B", 3, "T", 4] },
        q: { shape: ["B", 3, 4, "T"] },
        r: { shape: ["B", 3, 5, 4] },
        s: { shape: [4, 2] },
        w: { shape: [3, 4] },
        bias: { shape: [3] },
      },
      build: (leaf) => ({
        plain: matmul(leaf("p"), leaf("q")),
        left: matmul(leaf("q"), leaf("q"), { transposeA: true }),
        right: matmul(leaf("p"), leaf("r"), { transposeB: true }),
        both: matmul(leaf("q"), leaf("r"), { transposeA: true, transposeB: true }),
        shared: matmul(leaf("p"), leaf("s")),
        linear: linear(leaf("p"), leaf("w"), leaf("bias")),
      }),
    }));

  it("layer_norm", () =>
    checkGradients({
      leaves: { x: { shape: ["B", "T", 6] }, weight: { shape: [6] }, bias: { shape: [6] } },
      build: (leaf) => ({
        whole: layerNorm(leaf("x"), { eps: 1e-5, weight: leaf("weight"), bias: leaf("bias") }),
        plain: layerNorm(leaf("x"), { eps: 1e-5 }),
      }),
    }));

  it("cross_entropy, with targets that are ignored", () =>
    checkGradients({
      leaves: {
        logits: { shape: ["B", "T", 7], range: [-4, 4] },
        targets: { shape: ["B", "T"], ids: true, range: [0, 7] },
      },
      build: (leaf) => ({
        all: crossEntropy(leaf("logits"), leaf("targets")).loss,
        some: crossEntropy(leaf("logits"), leaf("targets"), { ignore: 3 }).loss,
      }),
    }));
});

describe("what mixes tokens", () => {
  it("rope", () =>
    checkGradients({
      leaves: {
        x: { shape: ["B", "T", 2, 6] },
        frequencies: { shape: [2], range: [0, 1], weight: true },
        at: { shape: ["B", "T"], ids: true, range: [0, 100] },
      },
      build: (leaf) => ({
        each: rope(leaf("x"), leaf("frequencies"), { positions: leaf("at"), attentionScaling: 1.25 }),
        counted: rope(leaf("x"), leaf("frequencies"), { inverse: true }),
      }),
    }));

  it.each([1, 2, 4])("causal_conv with %i taps", (taps) =>
    checkGradients({
      leaves: { x: { shape: ["B", "T", 5] }, w: { shape: [5, taps] }, bias: { shape: [5] } },
      build: (leaf) => ({
        whole: causalConv(leaf("x"), leaf("w"), { bias: leaf("bias"), activation: "silu" }).output,
        plain: causalConv(leaf("x"), leaf("w")).output,
      }),
    }),
  );

  it.each([
    [4, 4],
    [4, 2],
    [3, 1],
  ])("attention with %i query heads and %i key heads: full, windowed, capped, with sinks", (query, key) =>
    checkGradients({
      leaves: {
        q: { shape: ["B", "T", query, 4], range: [-3, 3] },
        k: { shape: ["B", "T", key, 4] },
        v: { shape: ["B", "T", key, 6] },
        sink: { shape: [query] },
      },
      build: (leaf) => {
        const attend = (options: Parameters<typeof attention>[3]) =>
          attention(leaf("q"), leaf("k"), leaf("v"), options).output;
        return {
          causal: attend({}),
          windowed: attend({ window: 3 }),
          capped: attend({ softcap: 2, scale: 1 }),
          sinks: attend({ sink: leaf("sink"), window: 2 }),
        };
      },
    }),
  );

  it("long_convolution", () =>
    checkGradients({
      leaves: { u: { shape: ["B", "T", 3] }, kernel: { shape: [3, "T"] } },
      build: (leaf) => ({ y: longConvolution(leaf("u"), leaf("kernel")) }),
    }));

  it.each(["zoh", "euler"] satisfies Discretization[])("s4d_kernel, discretised by %s", (discretization) =>
    checkGradients({
      leaves: {
        u: { shape: ["B", "T", 3] },
        logDt: { shape: [3], range: [-5, 0] },
        aLogReal: { shape: [3, 4], range: [-1, 0] },
        aImag: { shape: [3, 4], range: [-8, 8] },
        c: { shape: [3, 4, 2] },
      },
      build: (leaf) => {
        const parameters = { logDt: leaf("logDt"), aLogReal: leaf("aLogReal"), aImag: leaf("aImag"), c: leaf("c") };
        return { y: longConvolution(leaf("u"), s4dKernel(parameters, { discretization })) };
      },
    }),
  );
});
