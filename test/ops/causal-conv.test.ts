// causal_conv and its gradient: PyTorch fixtures, finite differences, every build and thread count, sizes with tails.
import { describe, expect, test } from "vitest";
import { input } from "../../src/graph/leaves.ts";
import { GraphError } from "../../src/graph/shape.ts";
import type { Tensor } from "../../src/graph/types.ts";
import { type ConvActivation, causalConv, causalConvOp } from "../../src/ops/causal-conv/op.ts";
import { lower } from "../../src/ops/causal-conv/wasm.ts";
import { causalConvGradientOp } from "../../src/ops/causal-conv-gradient/op.ts";
import { reference as gradientReference } from "../../src/ops/causal-conv-gradient/reference.ts";
import { lower as lowerGradient } from "../../src/ops/causal-conv-gradient/wasm.ts";
import { loadCases } from "./fixtures.ts";
import { checkOp, compare, generator, type OpInput } from "./harness.ts";
import { builds, type HostInput, runLowered } from "./lowered.ts";

const required = <V>(value: V | undefined): V => {
  if (value === undefined) throw new Error("missing");
  return value;
};

function conv(x: Readonly<Record<string, Tensor>>, activation: ConvActivation) {
  const { output, present } = causalConv(required(x.x), required(x.w), { bias: x.bias, past: x.past, activation });
  return { y: output, present };
}

const cases = await loadCases("causal_conv1d");

test.each(cases)("causal_conv agrees with PyTorch in outputs and all gradients: $name", async (fixture) => {
  const activation = fixture.attrs.activation as ConvActivation;
  const tensor = (name: string) => required(fixture.tensors.get(name));
  const data = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, tensor(name).data]));
  await checkOp({
    inputs: Object.fromEntries(
      fixture.inputs.map((name) => [name, { shape: tensor(name).shape, values: tensor(name).data }]),
    ),
    build: (x): Record<string, Tensor> => {
      const { y, present } = conv(x, activation);
      // With one tap there is no window.
      return fixture.outputs.includes("present") ? { y, present } : { y };
    },
    upstream: Object.fromEntries(fixture.upstream.map((name) => [name.slice(1), tensor(name).data])),
    differentiated: fixture.upstream.map((name) => name.slice(1)),
    expected: data([...fixture.outputs, ...fixture.grads]),
    tolerance: { outputs: fixture.tolerance, gradients: fixture.tolerance },
    finiteDifferences: false,
  });
});

const inputsOf = (
  batch: number,
  tokens: number,
  channels: number,
  taps: number,
): Readonly<Record<string, OpInput>> => ({
  x: { shape: [batch, tokens, channels], low: -3, high: 3 },
  w: { shape: [channels, taps] },
  bias: { shape: [channels] },
  past: { shape: [batch, taps - 1, channels], low: -3, high: 3 },
});

describe("causal_conv", () => {
  test.each([
    ["none", 2, 3, 2, 4],
    ["silu", 2, 3, 2, 3],
    ["silu", 1, 5, 3, 6],
  ] as const)(
    "has the gradients of finite differences: %s, %s rows, %s tokens, %s channels, %s taps",
    async (activation, batch, tokens, channels, taps) => {
      await checkOp({
        inputs: inputsOf(batch, tokens, channels, taps),
        build: (x) => conv(x, activation),
        finiteDifferences: true,
      });
    },
  );

  test.each([
    [1, 1, 1, 4],
    [3, 1, 33, 4],
    [1, 2, 17, 4],
    [2, 64, 16, 4],
    [2, 129, 21, 4],
    [3, 65, 6, 2],
    [2, 30, 18, 3],
    [2, 70, 9, 7],
    [1, 3, 20, 9],
  ] as const)(
    "runs alike everywhere: %s rows, %s tokens, %s channels, %s taps",
    async (batch, tokens, channels, taps) => {
      await checkOp({
        inputs: inputsOf(batch, tokens, channels, taps),
        build: (x) => conv(x, "silu"),
        finiteDifferences: false,
      });
    },
  );

  test("takes the gradient of the window alone", async () => {
    await checkOp({
      inputs: inputsOf(2, 2, 6, 4),
      build: (x) => conv(x, "silu"),
      differentiated: ["present"],
      finiteDifferences: true,
    });
  });

  test.each([1, 2, 5, 64])("gives the same in chunks of %s tokens, the window moving in place", (size) => {
    const [batch, tokens, channels, taps] = [2, 71, 10, 4];
    const draw = generator(3);
    const random = (shape: readonly number[]): HostInput => ({
      shape,
      dtype: "f32",
      data: Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, () => 4 * draw() - 2),
    });
    const x = random([batch, tokens, channels]);
    const [w, bias] = [random([channels, taps]), random([channels])];
    let past = random([batch, taps - 1, channels]);
    const attributes = { activation: "silu" } as const;
    const [whole = [], present = []] = runLowered(causalConvOp, lower, [x, w, bias, past], attributes, { threads: 2 });
    for (let t = 0; t < tokens; t += size) {
      const count = Math.min(size, tokens - t);
      const rows = (source: ArrayLike<number>): number[] =>
        [0, 1].flatMap((b) =>
          Array.from(source).slice((b * tokens + t) * channels, (b * tokens + t + count) * channels),
        );
      const part = { ...x, shape: [batch, count, channels], data: rows(x.data) };
      const [y = [], next = []] = runLowered(causalConvOp, lower, [part, w, bias, past], attributes, {
        threads: 3,
        inPlace: [[3, 1]],
      });
      compare("y", y, rows(whole), 1e-6);
      past = { ...past, data: next };
    }
    compare("present", past.data, present, 0);
  });

  test.each(builds)("%s: each gradient comes out the same whatever others are wanted", (build) => {
    const draw = generator(4);
    const shapes = [[2, 30, 21], [21, 4], [21], [2, 3, 21], [2, 30, 21], [2, 3, 21]];
    const inputs: HostInput[] = shapes.map((shape) => ({
      shape,
      dtype: "f32",
      data: Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, () => 2 * draw() - 1),
    }));
    const attributes = { activation: "silu" } as const;
    const expected = gradientReference(
      inputs.map((tensor) => ({ ...tensor, data: Float64Array.from(tensor.data) })),
      attributes,
    );
    for (const threads of [1, 2, 5]) {
      for (let only = -1; only < 4; only++) {
        const wanted = (i: number): boolean => only < 0 || i === only;
        const actual = runLowered(causalConvGradientOp, lowerGradient, inputs, attributes, { build, threads, wanted });
        for (const [i, value] of actual.entries()) {
          if (wanted(i)) compare(`gradient ${i}`, value ?? [], expected[i]?.data ?? [], 2e-5);
        }
      }
    }
  });

  test("names the input that does not fit", () => {
    const x = input("x", [1, 5, 6]);
    const w = input("w", [6, 4]);
    expect(() => causalConv(x, input("w", [5, 4]))).toThrow(/causal_conv: w \[5, 4\] is not \[6, 4\]/);
    expect(() => causalConv(x, w, { bias: input("b", [4]) })).toThrow(/bias \[4\] is not \[6\]/);
    expect(() => causalConv(x, w, { past: input("p", [1, 4, 6]) })).toThrow(/past \[1, 4, 6\] is not \[1, 3, 6\]/);
    expect(() => causalConv(input("x", [5, 6]), w)).toThrow(/x \[5, 6\] is not \[batch, time, channels\]/);
    expect(() => causalConv(input("x", [1, 5, 6], "i32"), w)).toThrow(GraphError);
  });
});
