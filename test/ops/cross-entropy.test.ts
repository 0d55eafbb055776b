// cross_entropy and its gradient.
import { describe, expect, test } from "vitest";
import * as ex from "../../src/graph/expression.ts";
import { input } from "../../src/graph/leaves.ts";
import { crossEntropy, crossEntropyOp } from "../../src/ops/cross-entropy/op.ts";
import { crossEntropyGradientOp } from "../../src/ops/cross-entropy-gradient/op.ts";
import { lower as lowerGradient } from "../../src/ops/cross-entropy-gradient/wasm.ts";
import { differentiate } from "../../src/ops/gradients.ts";
import { map } from "../../src/ops/map/op.ts";
import { required } from "../../src/ops/types.ts";
import {
  checkFixture,
  type Engine,
  engines,
  evaluate,
  expectClose,
  expectEnginesAgree,
  expectGradients,
  feedOf,
  gpuEngines,
} from "./evaluate.ts";
import { loadCases } from "./fixtures.ts";
import { expectAgreement, expectCut, runOn } from "./gpu.ts";
import { testRuntime } from "./harness.ts";
import { type HostInput, runLowered } from "./lowered.ts";

const cases = await loadCases("cross_entropy");

describe.each(engines)("on $name", (engine) => {
  test.each(cases)("cross_entropy agrees with PyTorch: $name", async (fixture) => {
    const ignore = Number(fixture.attrs.ignore_index);
    await checkFixture(fixture, engine, (x) => ({
      loss: crossEntropy(required(x.get("logits"), "logits"), required(x.get("targets"), "targets"), { ignore }).loss,
    }));
  });
});

const i32 = (values: readonly number[]): HostInput => ({ shape: [values.length], dtype: "i32", data: values });

function build(rows: number, classes: number, targets: readonly number[]) {
  const logits = input("logits", [rows, classes]);
  const results = crossEntropy(logits, input("targets", [rows], "i32"));
  const feed = feedOf({ logits: [rows, classes], dloss: [], dlse: [rows] }).set("targets", i32(targets));
  return { ...results, logits, feed };
}

/** Loss and gradient of the logits. */
async function lossAndGradient(built: ReturnType<typeof build>, engine?: Engine) {
  const gradients = differentiate([{ tensor: built.loss, gradient: input("dloss", []) }], [built.logits]);
  return evaluate([built.loss, required(gradients[0], "gradient")], built.feed, engine);
}

test("the gradients of loss and log-sum-exp are finite differences", async () => {
  const { loss, lse, logits, feed } = build(4, 6, [5, -100, 0, 2]);
  await expectGradients([loss, lse], [logits], feed);
});

test("any number of rows and classes, blocks of classes included", async () => {
  for (const [rows, classes] of [
    [1, 1],
    [1, 2],
    [3, 5],
    [4, 256],
    [2, 2048],
    [3, 2049],
    [2, 5003],
  ] as const) {
    const built = build(
      rows,
      classes,
      Array.from({ length: rows }, (_, i) => (i * 7919) % classes),
    );
    const seeds = [
      { tensor: built.loss, gradient: input("dloss", []) },
      { tensor: built.lse, gradient: input("dlse", [rows]) },
    ];
    const [gradient] = differentiate(seeds, [built.logits]);
    await expectEnginesAgree([built.loss, built.lse, built.count, required(gradient, "gradient")], built.feed);
  }
});

test("rows that are ignored weigh nothing, and if all are, loss and gradient are zero", async () => {
  for (const engine of engines) {
    const [some, gradient] = await lossAndGradient(build(3, 4, [1, -100, 2]), engine);
    expect(some?.[0]).toBeGreaterThan(0);
    expect(Array.from(gradient ?? []).slice(4, 8)).toEqual([0, 0, 0, 0]);
    const [none, zeros] = await lossAndGradient(build(2, 4, [-100, -100]), engine);
    expect(none?.[0]).toBe(0);
    expect(Array.from(zeros ?? []).every((v) => v === 0)).toBe(true);
  }
});

test("a target that is no class makes the loss and its row of the gradient NaN, other rows stay", async () => {
  for (const engine of engines) {
    for (const wrong of [4, -1, 1 << 30]) {
      const [loss, gradient] = await lossAndGradient(build(2, 4, [1, wrong]), engine);
      expect(loss?.[0]).toBeNaN();
      expect(
        Array.from(gradient ?? [])
          .slice(0, 4)
          .every(Number.isFinite),
      ).toBe(true);
      expect(
        Array.from(gradient ?? [])
          .slice(4)
          .every(Number.isNaN),
      ).toBe(true);
    }
  }
});

test("logits of plus or minus a thousand neither overflow nor lose the loss", async () => {
  const built = build(2, 3, [0, 1]);
  built.feed.set("logits", { shape: [2, 3], dtype: "f32", data: [1000, -1000, 999, -1000, -1001, -1002] });
  for (const engine of engines) {
    const [loss] = await evaluate([built.loss], built.feed, engine);
    expect(loss?.[0]).toBeCloseTo((Math.log(1 + Math.exp(-1)) + Math.log(1 + Math.exp(1) + Math.exp(-1))) / 2, 5);
  }
});

test("minus infinity masks a class out", async () => {
  const built = build(1, 3000, [2500]);
  const data = Array.from({ length: 3000 }, (_, i) => (i === 2500 || i === 2999 ? 1 : Number.NEGATIVE_INFINITY));
  built.feed.set("logits", { shape: [1, 3000], dtype: "f32", data });
  for (const engine of engines) {
    const [loss] = await evaluate([built.loss], built.feed, engine);
    expect(loss?.[0]).toBeCloseTo(Math.LN2, 6);
  }
});

describe("on the GPU", () => {
  const everything = (rows: number, classes: number) => {
    const targets = Array.from({ length: rows }, (_, i) => (i % 7 === 3 ? -100 : (i * 7919) % classes));
    const built = build(rows, classes, targets);
    const seeds = [
      { tensor: built.loss, gradient: input("dloss", []) },
      { tensor: built.lse, gradient: input("dlse", [rows]) },
    ];
    const [gradient] = differentiate(seeds, [built.logits]);
    return [[built.loss, built.lse, built.count, required(gradient, "gradient")], built.feed] as const;
  };
  test.each([
    ["several rows a workgroup", 300, 24],
    ["several rows a workgroup, of single elements", 33, 7],
    ["more rows than the mean has threads", 600, 16],
    ["few rows of many classes in parts", 2, 32000],
    ["one row in parts of single elements", 1, 5003],
  ])("%s", async (_, rows, classes) => {
    const [tensors, feed] = everything(rows, classes);
    await expectAgreement(gpuEngines, tensors, feed);
  });

  test("parts are taken where there are few rows", async () => {
    const runtime = await testRuntime("webgpu/adapter");
    const [[loss], feed] = everything(2, 32000);
    const { kernels } = await runOn(runtime, [required(loss, "loss")], feed);
    expect(kernels[0]).toMatch(/parts/);
  });

  test("logits larger than a binding are cut by rows", async () => {
    const [tensors, feed] = everything(70, 256);
    await expectCut(tensors, feed);
  });

  test("logits that are no numbers make the loss NaN", async () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const built = build(2, 40, [1, 2]);
      const data = Array.from({ length: 80 }, (_, i) => (i === 57 ? bad : 0.1 * i));
      built.feed.set("logits", { shape: [2, 40], dtype: "f32", data });
      for (const engine of gpuEngines) {
        const [loss, gradient] = await lossAndGradient(built, engine);
        expect(loss?.[0]).toBeNaN();
        expect(Array.from(gradient ?? []).map(Number.isNaN)).toEqual([
          ...new Array(40).fill(false),
          ...new Array(40).fill(true),
        ]);
      }
    }
  });

  test("the gradient overwrites logits that die with it", async () => {
    const { feed } = build(5, 36, [3, 35, -100, 0, 12]);
    const logits = map([input("logits", [5, 36])], ex.mul(ex.literal(2), ex.input(0)));
    const { loss } = crossEntropy(logits, input("targets", [5], "i32"));
    const [gradient] = differentiate([{ tensor: loss, gradient: input("dloss", []) }], [logits]);
    await expectAgreement(gpuEngines, [loss, required(gradient, "gradient")], feed);
  });
});

test("the gradient may overwrite the logits", async () => {
  const built = build(5, 37, [3, 36, -100, 0, 12]);
  const [, expected = []] = await lossAndGradient(built);
  const [lse = [], count = []] = await evaluate([built.lse, built.count], built.feed);
  const inputs: HostInput[] = [
    ...["logits", "targets"].map((name) => required(built.feed.get(name), name)),
    { shape: [5], dtype: "f32", data: lse },
    { shape: [], dtype: "f32", data: count },
    required(built.feed.get("dloss"), "dloss"),
  ];
  const attributes = { ignore: -100 };
  const [actual = []] = runLowered(crossEntropyGradientOp, lowerGradient, inputs, attributes, {
    inPlace: [[0, 0]],
    threads: 2,
  });
  expectClose("dlogits", actual, expected, 1e-5);
});

test("inputs that do not fit are named", async () => {
  const logits = input("logits", [2, 3, 10]);
  expect(() => crossEntropy(logits, input("t", [2], "i32"))).toThrow(/logits \[2, 3, 10\] do not fit targets \[2\]/);
  expect(() => crossEntropy(logits, input("t", [2, 3]))).toThrow(/targets are f32, must be i32/);
  expect(() => crossEntropyOp.infer([logits, undefined], { ignore: 0 })).toThrow(/missing/);
});
