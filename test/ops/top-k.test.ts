// top_k and its gradient: every kind of router, against PyTorch, finite differences and on every engine.
import { describe, expect, test } from "vitest";
import { input } from "../../src/graph/leaves.ts";
import { type TopKAttributes, topK } from "../../src/ops/top-k/op.ts";
import { topKGradient } from "../../src/ops/top-k-gradient/op.ts";
import { required } from "../../src/ops/types.ts";
import { checkFixture, engines, evaluate, feedOf, wasmEngines } from "./evaluate.ts";
import { type FixtureCase, loadCases } from "./fixtures.ts";
import { checkOp, generator } from "./harness.ts";

const cases = await loadCases("softmax_topk");

const plain: TopKAttributes = {
  k: 2,
  score: "softmax",
  normalize: false,
  normalizeEps: 0,
  scale: 1,
  groups: 1,
  topGroups: 1,
};

/** The attributes that a case of PyTorch names in its own way; a softmax of the chosen logits is a normalised softmax. */
function attributesOf({ attrs }: FixtureCase): TopKAttributes {
  const { variant, renormalize, renorm_eps = 0, routed_scaling_factor, top_k, n_group = 1, topk_group = 1 } = attrs;
  return {
    k: Number(top_k),
    score: variant === "sigmoid_bias_grouped" ? "sigmoid" : "softmax",
    normalize: variant === "topk_softmax" || renormalize === true,
    normalizeEps: Number(renorm_eps),
    scale: Number(routed_scaling_factor),
    groups: Number(n_group),
    topGroups: Number(topk_group),
  };
}

describe.each(engines)("on $name", (engine) => {
  test.each(cases)("top_k agrees with PyTorch: $name", async (fixture) => {
    await checkFixture(fixture, engine, (x) => ({
      ...topK(required(x.get("logits"), "logits"), attributesOf(fixture), x.get("bias")),
    }));
  });
});

/** Logits of which no two of a row are near each other, so that finite differences never change what is chosen. */
function distinct(rows: number, experts: number): number[] {
  const draw = generator(rows * 1000 + experts);
  return Array.from({ length: rows }, () => {
    const row = Array.from({ length: experts }, (_, i) => (i / experts) * 3 - 1.5 + 0.3 * draw() * (3 / experts));
    for (let i = experts - 1; i > 0; i--) {
      const j = Math.floor(draw() * (i + 1));
      [row[i], row[j]] = [row[j] ?? 0, row[i] ?? 0];
    }
    return row;
  }).flat();
}

const routers: readonly (readonly [string, number, Partial<TopKAttributes>, boolean])[] = [
  ["softmax as it is", 5, {}, false],
  ["softmax, normalised and scaled", 7, { normalize: true, scale: 2.5, k: 3 }, false],
  ["sigmoid", 6, { score: "sigmoid" }, false],
  ["sigmoid with bias, normalised with eps", 9, { score: "sigmoid", normalize: true, normalizeEps: 0.1, k: 4 }, true],
  ["softmax with bias", 6, { normalize: true }, true],
  ["groups", 12, { score: "sigmoid", normalize: true, groups: 4, topGroups: 2, k: 3 }, true],
  ["groups of one", 6, { groups: 6, topGroups: 3 }, false],
  ["one expert of one", 1, { k: 1, normalize: true }, false],
  ["all experts", 4, { k: 4 }, false],
];

describe("every router on every engine, and its gradient by finite differences", () => {
  test.each(routers)("%s", (_, experts, given, biased) =>
    checkOp({
      bindings: { B: 2, T: 3 },
      inputs: {
        logits: { shape: ["B", "T", experts], values: distinct(6, experts) },
        ...(biased ? { bias: { shape: [experts], low: -0.02, high: 0.02, gradient: false } } : {}),
      },
      build: ({ logits, bias }) => ({ ...topK(required(logits, "logits"), { ...plain, ...given }, bias) }),
    }),
  );

  test.each([
    ["as many experts as the largest have", 512, 10],
    ["an odd number, more than a subgroup", 67, 5],
  ])("%s", (_, experts, k) =>
    checkOp({
      bindings: { B: 3, T: 5 },
      inputs: { logits: { shape: ["B", "T", experts], values: distinct(15, experts) } },
      build: ({ logits }) => ({ ...topK(required(logits, "logits"), { ...plain, k, normalize: true }) }),
      finiteDifferences: false,
    }),
  );
});

test("of equal logits the first are chosen, on every engine", async () => {
  const { indices } = topK(input("logits", [1, 6]), { ...plain, k: 3 });
  const feed = new Map([["logits", { shape: [1, 6], dtype: "f32" as const, data: [0.5, 1, 0.25, 1, 1, 1] }]]);
  for (const engine of engines)
    expect(Array.from((await evaluate([indices], feed, engine))[0] ?? [])).toEqual([1, 3, 4]);
});

test("experts are valid even where logits are not numbers, and the weights say so", async () => {
  const { weights, indices } = topK(input("logits", [1, 4]), plain);
  const feed = new Map([["logits", { shape: [1, 4], dtype: "f32" as const, data: new Array(4).fill(Number.NaN) }]]);
  for (const engine of engines) {
    const [w = [], at = []] = await evaluate([weights, indices], feed, engine);
    for (const index of Array.from(at)) expect(index >= 0 && index < 4).toBe(true);
    if (engine.gpu === undefined) expect(Array.from(w).every(Number.isNaN)).toBe(true);
  }
});

test("huge logits overflow nothing", async () => {
  const { weights } = topK(input("logits", [2, 3]), { ...plain, normalize: true });
  const feed = new Map([
    ["logits", { shape: [2, 3], dtype: "f32" as const, data: [1e4, -1e4, 3e4, -5e4, -4e4, -6e4] }],
  ]);
  for (const engine of engines) {
    expect(Array.from((await evaluate([weights], feed, engine))[0] ?? [])).toEqual([1, 0, 1, 0]);
  }
});

test("the gradient's bits do not depend on the number of threads", async () => {
  const feed = feedOf({ logits: [40, 16], dw: [40, 2] });
  const logits = input("logits", [40, 16]);
  const { indices } = topK(logits, plain);
  const gradient = topKGradient(logits, indices, input("dw", [40, 2]), plain);
  const runs = await Promise.all(wasmEngines.slice(0, 2).map((engine) => evaluate([gradient], feed, engine)));
  expect(runs[0]).toEqual(runs[1]);
});

test("inputs that do not fit are named", () => {
  const logits = input("logits", [2, 6]);
  expect(() => topK(logits, { ...plain, k: 7 })).toThrow("top_k: 7 experts can't be chosen from 6");
  expect(() => topK(logits, { ...plain, groups: 4 })).toThrow("top_k: 4 groups do not divide 6 experts");
  expect(() => topK(logits, { ...plain, groups: 2, topGroups: 3 })).toThrow("3 of 2 groups can't be chosen");
  expect(() => topK(logits, { ...plain, groups: 3, k: 3 })).toThrow("3 experts can't be chosen from 2");
  expect(() => topK(logits, plain, input("bias", [5]))).toThrow("bias is f32 [5], must be f32 [6]");
  expect(() => topKGradient(logits, input("i", [2, 3], "i32"), input("dw", [2, 2]), plain)).toThrow("does not fit");
});
