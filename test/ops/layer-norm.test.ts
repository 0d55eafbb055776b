// layer_norm and its gradient.
import { describe, expect, test } from "vitest";
import * as ex from "../../src/graph/expression.ts";
import { input } from "../../src/graph/leaves.ts";
import { differentiate } from "../../src/ops/gradients.ts";
import { addLayerNorm, layerNorm, layerNormOp } from "../../src/ops/layer-norm/op.ts";
import { lower } from "../../src/ops/layer-norm/wasm.ts";
import { layerNormGradient } from "../../src/ops/layer-norm-gradient/op.ts";
import { map } from "../../src/ops/map/op.ts";
import { required } from "../../src/ops/types.ts";
import {
  checkFixture,
  engines,
  evaluate,
  expectClose,
  expectEnginesAgree,
  expectGradients,
  feedOf,
  gpuEngines,
} from "./evaluate.ts";
import { loadCases } from "./fixtures.ts";
import { expectAgreement, expectCut } from "./gpu.ts";
import { runLowered } from "./lowered.ts";

const cases = await loadCases("layer_norm");

describe.each(engines)("on $name", (engine) => {
  test.each(cases)("layer_norm agrees with PyTorch: $name", async (fixture) => {
    await checkFixture(fixture, engine, (x) => ({
      y: layerNorm(required(x.get("x"), "x"), {
        weight: x.get("weight"),
        bias: x.get("bias"),
        eps: Number(fixture.attrs.eps),
      }),
    }));
  });
});

function build(rows: number, channels: number, eps: number) {
  const shape = [rows, channels];
  const [x, residual] = [input("x", shape), input("residual", shape)];
  const [weight, bias] = [input("weight", [channels]), input("bias", [channels])];
  const { y, sum } = addLayerNorm(x, residual, { weight, bias, eps });
  const feed = feedOf({ x: shape, weight: [channels], bias: [channels], residual: shape, dy: shape, dsum: shape });
  return { outputs: [y, sum], leaves: [x, residual, weight, bias], feed, shape };
}

test("the gradients with residual and sum are finite differences", async () => {
  const { outputs, leaves, feed } = build(3, 7, 1e-3);
  await expectGradients(outputs, leaves, feed);
});

test("rows of any length, fewer rows than threads, and one row", async () => {
  for (const [rows, channels] of [
    [1, 1],
    [1, 2],
    [1, 768],
    [2, 3],
    [3, 64],
    [7, 129],
  ] as const) {
    const { outputs, leaves, feed, shape } = build(rows, channels, 0.1);
    const seeds = outputs.map((tensor, i) => ({ tensor, gradient: input(i === 0 ? "dy" : "dsum", shape) }));
    await expectEnginesAgree([...outputs, ...differentiate(seeds, leaves).filter((g) => g !== undefined)], feed);
  }
});

describe("on the GPU", () => {
  const all = (rows: number, channels: number) => {
    const { outputs, leaves, feed, shape } = build(rows, channels, 0.1);
    const seeds = outputs.map((tensor, i) => ({ tensor, gradient: input(i === 0 ? "dy" : "dsum", shape) }));
    return [[...outputs, ...differentiate(seeds, leaves).filter((g) => g !== undefined)], feed] as const;
  };
  test.each([
    ["several rows a workgroup", 37, 16],
    ["more units a thread than the gradient keeps in registers", 2, 4100],
    ["more units a thread than the norm keeps in registers", 2, 8200],
    ["the same of single elements", 2, 2051],
    ["several rows a chunk of the weight's gradient", 1100, 8],
    ["several rows a chunk, of single elements", 530, 3],
  ])("%s", async (_, rows, channels) => {
    const [tensors, feed] = all(rows, channels);
    await expectAgreement(gpuEngines, tensors, feed, 4e-5);
  });

  test("tensors larger than a binding are cut by rows", async () => {
    const [tensors, feed] = all(130, 96);
    await expectCut(tensors, feed, { tolerance: 4e-5 });
    // Rows that are read again, several of them a chunk.
    await expectCut(...all(4, 6144), { tolerance: 4e-5, maxBinding: 65536 });
  });

  test("without weight, bias and residual", async () => {
    const x = input("x", [5, 36]);
    const y = layerNorm(x, { eps: 1e-3 });
    const [dx] = differentiate([{ tensor: y, gradient: input("dy", [5, 36]) }], [x]);
    await expectAgreement(gpuEngines, [y, required(dx, "dx")], feedOf({ x: [5, 36], dy: [5, 36] }));
  });

  test("y and sum overwrite what dies with them", async () => {
    const shape = [70, 12];
    const doubled = (name: string) => map([input(name, shape)], ex.mul(ex.literal(2), ex.input(0)));
    const { y, sum } = addLayerNorm(doubled("x"), doubled("residual"), { eps: 1e-3 });
    const { dx } = layerNormGradient(doubled("x"), doubled("dy"), { dsum: doubled("dsum") }, { eps: 1e-3 });
    const feed = feedOf({ x: shape, residual: shape, dy: shape, dsum: shape });
    await expectAgreement(gpuEngines, [y, sum], feed);
    await expectAgreement(gpuEngines, [dx], feed);
  });
});

test("a mean a thousand times the deviation keeps four digits", async () => {
  const x = input("x", [2, 100]);
  const shifted = feedOf({ x: [2, 100] });
  const data = Float32Array.from(required(shifted.get("x"), "x").data, (v) => v + 2000);
  await expectEnginesAgree(
    [layerNorm(x, { eps: 1e-5 })],
    new Map([["x", { shape: [2, 100], dtype: "f32", data }]]),
    1e-4,
  );
});

test("y and sum may overwrite x and the residual, and the sum may go unread", async () => {
  const { outputs, feed } = build(3, 10, 1e-5);
  const [expectedY = [], expectedSum = []] = await evaluate(outputs, feed);
  const inputs = ["x", "weight", "bias", "residual"].map((name) => feed.get(name));
  for (const inPlace of [
    [],
    [[0, 0]],
    [[3, 0]],
    [
      [0, 0],
      [3, 1],
    ],
    [
      [3, 0],
      [0, 1],
    ],
  ] as (readonly [number, number])[][]) {
    for (const wanted of [() => true, (i: number) => i === 0]) {
      const [y = [], sum] = runLowered(layerNormOp, lower, inputs, { eps: 1e-5 }, { inPlace, wanted, threads: 2 });
      expectClose("y", y, expectedY, 1e-6);
      if (sum !== undefined) expectClose("sum", sum, expectedSum, 1e-6);
    }
  }
});

test("inputs that do not fit are named", async () => {
  const x = input("x", [2, 6]);
  expect(() => layerNorm(x, { bias: input("b", [5]), eps: 1e-5 })).toThrow(/layer_norm: bias is \[5\], must be \[6\]/);
  expect(() => addLayerNorm(x, input("r", [6]), { eps: 1e-5 })).toThrow(/layer_norm: residual is \[6\]/);
  expect(() => layerNorm(x, { eps: -1 })).toThrow(/eps is -1/);
});
