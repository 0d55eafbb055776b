// rms_norm and its gradient.
import { describe, expect, test } from "vitest";
import * as ex from "../../src/graph/expression.ts";
import { input } from "../../src/graph/leaves.ts";
import { GraphError } from "../../src/graph/shape.ts";
import { differentiate } from "../../src/ops/gradients.ts";
import { map } from "../../src/ops/map/op.ts";
import {
  addRmsNorm,
  type GateActivation,
  l2Norm,
  type NormMode,
  type RmsNormAttributes,
  rmsNorm,
  rmsNormOp,
} from "../../src/ops/rms-norm/op.ts";
import { lower } from "../../src/ops/rms-norm/wasm.ts";
import { rmsNormGradient } from "../../src/ops/rms-norm-gradient/op.ts";
import {
  checkFixture,
  engines,
  evaluate,
  expectClose,
  expectEnginesAgree,
  expectGradients,
  feedOf,
  gpuEngines,
  wasmEngines,
} from "./evaluate.ts";
import { loadCases } from "./fixtures.ts";
import { expectAgreement, expectCut, runOn } from "./gpu.ts";
import { testRuntime } from "./harness.ts";
import { runLowered } from "./lowered.ts";

const required = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error("missing");
  return value;
};

const plain = await loadCases("rms_norm");
const gated = await loadCases("gated_rms_norm");
const l2 = await loadCases("l2_norm");

describe.each(engines)("on $name", (engine) => {
  test.each(plain)("rms_norm agrees with PyTorch: $name", async (fixture) => {
    await checkFixture(fixture, engine, (x) => ({
      y: rmsNorm(required(x.get("x")), {
        weight: x.get("weight"),
        eps: Number(fixture.attrs.eps),
        mode: fixture.attrs.mode as NormMode,
      }),
    }));
  });

  test.each(gated)("gated rms_norm agrees with PyTorch: $name", async (fixture) => {
    await checkFixture(fixture, engine, (x) => ({
      y: rmsNorm(required(x.get("x")), {
        weight: x.get("weight"),
        gate: x.get("z"),
        eps: Number(fixture.attrs.eps),
        groups: Number(fixture.attrs.groups),
        normBeforeGate: fixture.attrs.norm_before_gate === true,
        gateActivation: fixture.attrs.activation as GateActivation,
      }),
    }));
  });

  test.each(l2)("l2Norm agrees with PyTorch: $name", async (fixture) => {
    await checkFixture(fixture, engine, (x) => ({
      y: l2Norm(required(x.get("x")), { eps: Number(fixture.attrs.eps), scale: Number(fixture.attrs.scale) }),
    }));
  });
});

const options = [1, 3].flatMap((groups) =>
  ([undefined, "silu", "sigmoid", "none"] as const).flatMap((gate) =>
    [true, false].flatMap((normBeforeGate) =>
      (["weight", "one_plus_weight", "none"] as const).map((mode) => ({ groups, gate, normBeforeGate, mode })),
    ),
  ),
);

/** sum and y of a norm with every kind of input, at a size with a tail. */
function build({ groups, gate, normBeforeGate, mode }: (typeof options)[number], residual: boolean, rows: number) {
  const shape = [rows, 21];
  const x = input("x", shape);
  const weight = mode === "none" ? undefined : input("weight", [21]);
  const z = gate === undefined ? undefined : input("gate", shape);
  const other = input("residual", shape);
  const norm = { weight, gate: z, groups, mode, normBeforeGate, gateActivation: gate, eps: 1e-3, scale: 0.7 };
  const outputs = residual ? addRmsNorm(x, other, norm) : { y: rmsNorm(x, norm) };
  const feed = feedOf({ x: shape, weight: [21], gate: shape, residual: shape, dy: shape, dsum: shape });
  const leaves = [x, weight, z, residual ? other : undefined].filter((leaf) => leaf !== undefined);
  return { outputs: Object.values(outputs), leaves, feed, shape };
}

describe.each(options.map((option, number) => ({ ...option, number })))(
  "rms_norm with $groups groups, gate $gate (after the norm: $normBeforeGate), mode $mode",
  (option) => {
    test("has the gradients of finite differences, with residual and sum", async () => {
      const { outputs, leaves, feed } = build(option, true, 2);
      await expectGradients(outputs, leaves, feed);
    });

    test.each([true, false])("runs the same everywhere (residual: %s)", async (residual) => {
      const { outputs, leaves, feed, shape } = build(option, residual, 5);
      const seeds = outputs.map((tensor, i) => ({ tensor, gradient: input(i === 0 ? "dy" : "dsum", shape) }));
      const gradients = differentiate(seeds, leaves).filter((g) => g !== undefined);
      expect(gradients.length).toBe(leaves.length);
      // Every option compiles kernels of its own: the GPU's engines take turns.
      const gpu = gpuEngines[(option.number + (residual ? 1 : 0)) % 2];
      await expectAgreement([...wasmEngines, gpu], [...outputs, ...gradients], feed);
    });
  },
);

test("rows of any length, fewer rows than threads, and one row", async () => {
  for (const [rows, channels] of [
    [1, 1],
    [1, 2],
    [1, 768],
    [2, 3],
    [3, 64],
    [7, 129],
  ] as const) {
    const [x, weight] = [input("x", [rows, channels]), input("weight", [channels])];
    // With a tiny eps the gradient of a single channel cancels to nothing.
    const y = rmsNorm(x, { weight, eps: 0.1 });
    const seeds = [{ tensor: y, gradient: input("dy", y.shape) }];
    const gradients = differentiate(seeds, [x, weight]).filter((g) => g !== undefined);
    await expectEnginesAgree(
      [y, ...gradients],
      feedOf({ x: [rows, channels], weight: [channels], dy: [rows, channels] }),
    );
  }
});

const rmsAttributes: RmsNormAttributes = {
  eps: 0.1,
  groups: 1,
  mode: "none",
  normBeforeGate: true,
  gateActivation: "none",
  scale: 1,
};

/** y, sum and every gradient of a gated norm with a residual. */
function everything(shape: readonly [number, number], groups: number, normBeforeGate = false) {
  const [x, residual, gate] = [input("x", shape), input("residual", shape), input("gate", shape)];
  const weight = input("weight", [shape[1]]);
  const { y, sum } = addRmsNorm(x, residual, { weight, gate, groups, normBeforeGate, eps: 0.1 });
  const seeds = [
    { tensor: y, gradient: input("dy", shape) },
    { tensor: sum, gradient: input("dsum", shape) },
  ];
  const gradients = differentiate(seeds, [x, weight, gate]).filter((g) => g !== undefined);
  const same = { x: shape, residual: shape, gate: shape, dy: shape, dsum: shape };
  return { tensors: [y, sum, ...gradients], feed: feedOf({ ...same, weight: [shape[1]] }) };
}

describe("on the GPU", () => {
  test.each([
    ["several rows a workgroup", [37, 16], 1],
    ["several rows a workgroup, by groups", [19, 24], 2],
    ["one row a workgroup, three units a thread", [2, 768], 1],
    ["more units a thread than the gradient keeps in registers", [2, 4100], 1],
    ["more units a thread than the norm keeps in registers", [2, 8200], 1],
    ["the same of single elements", [2, 2051], 1],
    ["several rows a chunk of the weight's gradient", [1100, 8], 1],
    ["several rows a chunk, by groups of single elements", [530, 6], 2],
  ] as const)("%s", async (_, shape, groups) => {
    const { tensors, feed } = everything(shape, groups);
    await expectAgreement(gpuEngines, tensors, feed, 4e-5);
  });

  test("rows of one unit reduce by shuffles where there are subgroups, rows of a workgroup by both", async () => {
    const runtime = await testRuntime("webgpu/adapter");
    const one = await runOn(runtime, [rmsNorm(input("x", [9, 16]), { eps: 0.1 })], feedOf({ x: [9, 16] }));
    const all = await runOn(runtime, [rmsNorm(input("x", [2, 4096]), { eps: 0.1 })], feedOf({ x: [2, 4096] }));
    expect(one.kernels).toHaveLength(1);
    expect([...one.kernels, ...all.kernels].every((kernel) => /vec4, .*(subgroup|tree)/.test(kernel))).toBe(true);
  });

  test("tensors larger than a binding are cut by rows", async () => {
    const { tensors, feed } = everything([130, 96], 2);
    await expectCut(tensors, feed, { tolerance: 4e-5 });
    // Rows that are read twice, several of them a chunk.
    const long = everything([4, 6144], 1, true);
    await expectCut(long.tensors, long.feed, { tolerance: 4e-5, maxBinding: 65536 });
  });

  test("y and sum overwrite what dies with them", async () => {
    const shape = [70, 12];
    const doubled = (name: string) => map([input(name, shape)], ex.mul(ex.literal(2), ex.input(0)));
    const { y, sum } = addRmsNorm(doubled("x"), doubled("residual"), { gate: input("gate", shape), eps: 1e-3 });
    await expectAgreement(gpuEngines, [y, sum], feedOf({ x: shape, residual: shape, gate: shape }));
    await expectAgreement(
      gpuEngines,
      [rmsNormGradient(doubled("x"), doubled("dy"), { dsum: doubled("dsum") }, rmsAttributes).dx],
      feedOf({ x: shape, dy: shape, dsum: shape }),
    );
  });
});

test("y and sum may overwrite x and the residual, and either may go unread", async () => {
  const feed = feedOf({ x: [3, 10], weight: [10], residual: [3, 10], gate: [3, 10] });
  const x = input("x", [3, 10]);
  const { y, sum } = addRmsNorm(x, input("residual", [3, 10]), {
    weight: input("weight", [10]),
    gate: input("gate", [3, 10]),
    eps: 1e-5,
    normBeforeGate: false,
  });
  const [expectedY = [], expectedSum = []] = await evaluate([y, sum], feed);
  const inputs = ["x", "weight", "gate", "residual"].map((name) => feed.get(name));
  const attributes = y.node.attributes as Parameters<typeof rmsNormOp.infer>[1];
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
      const [actual = [], actualSum] = runLowered(rmsNormOp, lower, inputs, attributes, {
        inPlace,
        wanted,
        threads: 2,
      });
      expectClose("y", actual, expectedY, 1e-6);
      if (actualSum !== undefined) expectClose("sum", actualSum, expectedSum, 1e-6);
    }
  }
});

test("inputs that do not fit are named", async () => {
  const x = input("x", [2, 6]);
  expect(() => rmsNorm(x, { weight: input("w", [5]), eps: 1e-5 })).toThrow(/rms_norm: weight is \[5\], must be \[6\]/);
  expect(() => rmsNorm(x, { gate: input("g", [2, 5]), eps: 1e-5 })).toThrow(/rms_norm: gate is \[2, 5\]/);
  expect(() => rmsNorm(x, { groups: 4, eps: 1e-5 })).toThrow(/4 groups do not divide the 6 channels/);
  expect(() => rmsNorm(x, { mode: "weight", eps: 1e-5 })).toThrow(/mode "weight" needs a weight/);
  expect(() => rmsNorm(input("i", [2, 6], "i32"), { eps: 1e-5 })).toThrow(GraphError);
});
