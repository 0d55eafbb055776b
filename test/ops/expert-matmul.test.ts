// group_rows, expert_matmul and their gradients: rows that choose their weights, on every engine.
import { describe, expect, test } from "vitest";
import { input, parameter } from "../../src/graph/leaves.ts";
import type { Tensor } from "../../src/graph/types.ts";
import { expertMatmul, expertMatmulOp } from "../../src/ops/expert-matmul/op.ts";
import { lower } from "../../src/ops/expert-matmul/wasm.ts";
import { expertMatmulGradient } from "../../src/ops/expert-matmul-gradient/op.ts";
import { groupRows } from "../../src/ops/group-rows/op.ts";
import { required } from "../../src/ops/types.ts";
import {
  engines,
  evaluate,
  expectClose,
  expectEnginesAgree,
  feedOf,
  gpuEngines,
  numbers,
  wasmEngines,
} from "./evaluate.ts";
import { expectAgreement, expectCut, runOn } from "./gpu.ts";
import { checkOp, generator, testRuntime } from "./harness.ts";
import { type HostInput, runLowered } from "./lowered.ts";

const i32 = (shape: readonly number[], data: readonly number[]): HostInput => ({ shape, dtype: "i32", data });

/** Experts at random, the last one never: some have many rows, one has none. */
function choices(count: number, experts: number, seed = 3): number[] {
  const draw = generator(seed);
  return Array.from({ length: count }, () => Math.floor(draw() ** 2 * Math.max(1, experts - 1)));
}

describe("group_rows", () => {
  test.each([
    [1, 1],
    [7, 3],
    [300, 5],
    [2500, 17],
    [64, 100],
  ])("%i rows, %i experts", async (count, experts) => {
    const { order, starts } = groupRows(input("indices", [count], "i32"), experts);
    const feed = new Map([["indices", i32([count], choices(count, experts))]]);
    const [sorted = [], first = []] = await evaluate([order, starts], feed);
    const chosen = feed.get("indices")?.data ?? [];
    const expected = Array.from({ length: count }, (_, row) => row).sort(
      (a, b) => Number(chosen[a]) - Number(chosen[b]) || a - b,
    );
    expect(Array.from(sorted)).toEqual(expected);
    for (let e = 0; e <= experts; e++) {
      expect(first[e]).toBe(Array.from(chosen).filter((index) => Number(index) < e).length);
    }
    await expectEnginesAgree([order, starts], feed, 0);
    await expectEnginesAgree([order], feed, 0);
    await expectEnginesAgree([starts], feed, 0);
  });

  test("an index that is no expert counts as the nearest one", async () => {
    const { order, starts } = groupRows(input("indices", [4], "i32"), 3);
    const feed = new Map([["indices", i32([4], [7, -2, 1, 2147483647])]]);
    for (const engine of engines) {
      const [sorted = [], first = []] = await evaluate([order, starts], feed, engine);
      expect([Array.from(sorted), Array.from(first)]).toEqual([
        [1, 2, 0, 3],
        [0, 1, 2, 4],
      ]);
    }
  });
});

interface Size {
  readonly tokens: number;
  readonly k: number;
  readonly experts: number;
  readonly n: number;
  readonly depth: number;
}

/** Values and gradients of an expert layer whose x has a row for each token (or each choice). */
const opCase = ({ tokens, k, experts, n, depth }: Size, each = false, transposed = false) => ({
  bindings: { B: 1, T: tokens },
  inputs: {
    x: { shape: ["B", "T", ...(each ? [k] : []), transposed ? n : depth] as const },
    weight: { shape: [experts, n, depth] },
    indices: { shape: ["B", "T", k] as const, dtype: "i32" as const, values: choices(tokens * k, experts) },
  },
  build: ({ x, weight, indices }: Readonly<Record<string, Tensor>>) => {
    const at = required(indices, "indices");
    const routing = { indices: at, ...groupRows(at, experts) };
    return { y: expertMatmul(required(x, "x"), required(weight, "weight"), routing, transposed) };
  },
});

const sizes: readonly Size[] = [
  { tokens: 1, k: 1, experts: 1, n: 1, depth: 1 },
  { tokens: 3, k: 2, experts: 4, n: 3, depth: 5 },
  { tokens: 5, k: 2, experts: 3, n: 4, depth: 4 },
  { tokens: 9, k: 3, experts: 5, n: 20, depth: 33 },
  { tokens: 40, k: 2, experts: 6, n: 36, depth: 24 },
  { tokens: 150, k: 2, experts: 3, n: 68, depth: 72 },
];

describe("expert_matmul and its gradients", () => {
  for (const size of sizes) {
    const { tokens, k, experts, n, depth } = size;
    const name = `${tokens} × ${k} rows, ${experts} experts of ${n} × ${depth}`;
    test(`${name}, a row of x for each token`, () => checkOp(opCase(size)));
    test(`${name}, a row of x for each choice`, () => checkOp(opCase(size, true)));
    test(`${name}, transposed`, () => checkOp(opCase(size, true, true)));
  }

  test("deep and wide products go through several blocks", () =>
    checkOp({
      ...opCase({ tokens: 70, k: 2, experts: 3, n: 530, depth: 1030 }, true),
      finiteDifferences: false,
      tolerance: { outputs: 1e-4, gradients: 1e-4 },
    }));

  test("an index that is no expert counts as the nearest one", async () => {
    const indices = input("indices", [3, 1], "i32");
    const y = expertMatmul(input("x", [3, 4]), input("weight", [2, 8, 4]), { indices, ...groupRows(indices, 2) });
    const feed = feedOf({ x: [3, 4], weight: [2, 8, 4] }).set("indices", i32([3, 1], [-5, 9, 1]));
    await expectEnginesAgree([y], feed);
  });

  test("the gradient of weights is the same to the bit for any number of threads", async () => {
    const indices = input("indices", [50, 2], "i32");
    const routing = { indices, ...groupRows(indices, 4) };
    const gradient = expertMatmulGradient(input("x", [50, 24]), input("dy", [50, 2, 40]), routing);
    const feed = feedOf({ x: [50, 24], dy: [50, 2, 40] }).set("indices", i32([50, 2], choices(100, 4)));
    const runs = await Promise.all(
      [1, 2, 3].map((threads) => evaluate([gradient], feed, { name: "", wasm: { build: "simd", threads } })),
    );
    for (const run of runs) expect(run).toEqual(runs[0]);
  });
});

/** The panels of a weight [experts, n, depth], n a multiple of 16. */
function panelsOf(weight: Float32Array, depth: number): Float32Array {
  const packed = new Float32Array(weight.length);
  for (let v = 0; v < weight.length / depth; v++) {
    for (let i = 0; i < depth; i++) packed[((v >> 4) * depth + i) * 16 + (v & 15)] = weight[v * depth + i] ?? 0;
  }
  return packed;
}

test.each([
  ["one token", 1],
  ["few rows", 4],
  ["many rows", 45],
])("weights packed in panels give the same: %s", async (_, tokens) => {
  const [experts, n, depth, k] = [3, 48, 37, 2];
  const feed = feedOf({ x: [tokens, depth], weight: [experts, n, depth], dy: [tokens, k, n] });
  feed.set("indices", i32([tokens, k], choices(tokens * k, experts)));
  const indices = input("indices", [tokens, k], "i32");
  const { order, starts } = groupRows(indices, experts);
  const [sorted = [], first = []] = await evaluate([order, starts], feed);
  const weight = feed.get("weight");
  const packed: HostInput = {
    shape: [experts, n, depth],
    dtype: "f32",
    data: panelsOf(Float32Array.from(weight?.data ?? []), depth),
    layout: "panels",
  };
  for (const transposed of [false, true]) {
    const x = transposed ? "dy" : "x";
    const y = expertMatmul(
      input(x, feed.get(x)?.shape ?? []),
      input("weight", [experts, n, depth]),
      { indices, order, starts },
      transposed,
    );
    const [expected = []] = await evaluate([y], feed);
    for (const { wasm } of wasmEngines) {
      const inputs = [
        feed.get(x),
        packed,
        feed.get("indices"),
        i32([tokens, k], Array.from(sorted)),
        i32([experts + 1], Array.from(first)),
      ];
      const [actual = []] = runLowered(expertMatmulOp, lower, inputs, { transposed }, wasm);
      expectClose(transposed ? "transposed" : "product", actual, expected, 2e-5);
    }
  }
});

describe("on the GPU", () => {
  const layer = ({ tokens, k, experts, n, depth }: Size) => {
    const feed = feedOf({ x: [tokens, depth], weight: [experts, n, depth], dy: [tokens, k, n] });
    feed.set("indices", i32([tokens, k], choices(tokens * k, experts)));
    const indices = input("indices", [tokens, k], "i32");
    const routing = { indices, ...groupRows(indices, experts) };
    const dy = input("dy", [tokens, k, n]);
    return {
      feed,
      forward: expertMatmul(input("x", [tokens, depth]), input("weight", [experts, n, depth]), routing),
      back: expertMatmul(dy, input("weight", [experts, n, depth]), routing, true),
      gradient: expertMatmulGradient(input("x", [tokens, depth]), dy, routing),
    };
  };

  test("few rows read what they have chosen, many go in tiles, small and large", async () => {
    const kernels = async (size: Size): Promise<string> => {
      const { feed, forward } = layer(size);
      await expectAgreement(gpuEngines, [forward], feed);
      return (await runOn(await testRuntime("webgpu/adapter"), [forward], feed)).kernels.join("\n");
    };
    expect(await kernels({ tokens: 3, k: 4, experts: 16, n: 30, depth: 64 })).toMatch(/a row at a time/);
    expect(await kernels({ tokens: 20, k: 4, experts: 16, n: 30, depth: 64 })).toMatch(/32 × 32 tiles of rows/);
    expect(await kernels({ tokens: 150, k: 2, experts: 4, n: 66, depth: 20 })).toMatch(/64 × 64 tiles of rows/);
  });

  test("weights and activations larger than a binding are cut", async () => {
    const few = layer({ tokens: 5, k: 2, experts: 6, n: 60, depth: 48 });
    await expectCut([few.forward], few.feed);
    // Experts, then tokens.
    const wide = layer({ tokens: 60, k: 2, experts: 7, n: 40, depth: 36 });
    await expectCut([wide.forward], wide.feed);
    await expectCut([wide.back], wide.feed);
    await expectCut([wide.gradient], wide.feed);
    const long = layer({ tokens: 260, k: 2, experts: 2, n: 30, depth: 40 });
    await expectCut([long.forward], long.feed);
    await expectCut([long.back], long.feed);
    await expectCut([long.gradient], long.feed, { tolerance: 5e-5 });
  });

  test("an expert that no binding holds is an error that says so", async () => {
    const { feed, gradient } = layer({ tokens: 5, k: 2, experts: 2, n: 100, depth: 100 });
    await expect(expectCut([gradient], feed)).rejects.toThrow(/an expert's weights of \[100, 100\] take 40000 bytes/);
  });

  test.each([
    ["f16", 24, 3],
    ["int8", 64, 3],
    ["int8", 36, 40],
    ["int4", 64, 3],
    ["int4", 64, 40],
  ] as const)("weights stored as %s, depth %i, %i tokens", async (storage, depth, tokens) => {
    const [experts, n, k] = [4, 12, 2];
    const runtime = await testRuntime("webgpu/adapter");
    const type = { shape: [experts, n, depth], dtype: "f32" as const };
    try {
      const weight = runtime.buffer(type, numbers(experts * n * depth), { storage });
      const stored = await weight.read();
      const { feed, forward } = layer({ tokens, k, experts, n, depth });
      const [expected = []] = await evaluate([forward], feed.set("weight", { ...type, data: stored }));
      const indices = input("indices", [tokens, k], "i32");
      const leaf = parameter("weight", type.shape, { kind: "zeros" });
      const y = expertMatmul(input("x", [tokens, depth]), leaf, { indices, ...groupRows(indices, experts) });
      const { outputs } = await runOn(runtime, [y], feed, new Map([["weight", weight]]));
      expectClose("product", outputs[0] ?? [], expected, 2e-5);
      weight.free();
    } catch (error) {
      // The software device may lack shader-f16.
      if (storage !== "f16" || !/shader-f16/.test(String(error))) throw error;
    }
  });
});

test("inputs that do not fit are named", () => {
  const indices = input("indices", [3, 2], "i32");
  const routing = { indices, ...groupRows(indices, 4) };
  const weight = input("weight", [4, 5, 6]);
  expect(() => expertMatmul(input("x", [3, 5]), weight, routing)).toThrow(
    /weight \[4, 5, 6\] does not fit x \[3, 5\] and 4 experts/,
  );
  expect(() => expertMatmul(input("x", [2, 6]), weight, routing)).toThrow(
    /x is f32 \[2, 6\], must be f32 with the leading axes/,
  );
  expect(() => expertMatmul(input("x", [3, 6]), input("w", [3, 5, 6]), routing)).toThrow(
    /must be f32 \[experts, N, K\]/,
  );
  expect(() => expertMatmulGradient(input("x", [3, 6]), input("dy", [3, 5, 2, 1]), routing)).toThrow(/dy is f32/);
  expect(() => groupRows(input("indices", [3]), 4)).toThrow(/must be i32/);
});
