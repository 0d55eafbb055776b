// Mixtures of experts in onnxruntime agree with the references: routing with and without groups, and products whose matrix each
// row chooses, experts that nobody chose among them.
import { describe, it } from "vitest";
import type { Tensor } from "../../../src/graph/types.ts";
import { expertMatmul } from "../../../src/ops/expert-matmul/op.ts";
import { groupRows } from "../../../src/ops/group-rows/op.ts";
import { topK } from "../../../src/ops/top-k/op.ts";
import { checkOnnx } from "./check.ts";

describe("top_k", () => {
  const plain = {
    k: 2,
    score: "softmax",
    normalize: false,
    normalizeEps: 0,
    scale: 1,
    groups: 1,
    topGroups: 1,
  } as const;
  const cases = {
    softmax: plain,
    "normalised sigmoid": { ...plain, score: "sigmoid", normalize: true, normalizeEps: 1e-3, scale: 2.5 },
    "two groups of four": { ...plain, k: 3, groups: 4, topGroups: 2 },
    "groups of one expert": { ...plain, groups: 8, topGroups: 4, normalize: true },
  } as const;
  it.each(Object.entries(cases))("%s, with and without a bias", (_, options) =>
    checkOnnx({
      leaves: { logits: { shape: ["B", "T", 8], range: [-3, 3] }, bias: { shape: [8], weight: true } },
      build: (leaf) => {
        const free = topK(leaf("logits"), options);
        const biased = topK(leaf("logits"), options, leaf("bias"));
        return { w: free.weights, i: free.indices, biasedW: biased.weights, biasedI: biased.indices };
      },
    }),
  );
});

describe("expert_matmul", () => {
  it("of tokens' rows and of choices' rows, with rows grouped by expert", () =>
    checkOnnx({
      leaves: {
        x: { shape: ["B", "T", 5] },
        each: { shape: ["B", "T", 2, 5] },
        w: { shape: [6, 4, 5], weight: true },
        // The last expert is never chosen.
        choice: { shape: ["B", "T", 2], ids: true, range: [0, 5] },
      },
      build: (leaf): Record<string, Tensor> => {
        const indices = leaf("choice");
        const { order, starts, counts } = groupRows(indices, 6);
        const routing = { indices, order, starts };
        return {
          order,
          starts,
          counts,
          tokens: expertMatmul(leaf("x"), leaf("w"), routing),
          choices: expertMatmul(leaf("each"), leaf("w"), routing),
        };
      },
    }));
});
