// The backward passes of recurrences, norms and experts in ONNX agree with our own, over several chunks of tokens.
import { describe, it } from "vitest";
import { expertMatmul } from "../../../src/ops/expert-matmul/op.ts";
import { groupRows } from "../../../src/ops/group-rows/op.ts";
import { hasBeta, linearAttention } from "../../../src/ops/linear-attention/op.ts";
import { rgLru } from "../../../src/ops/rg-lru/op.ts";
import { addRmsNorm, rmsNorm } from "../../../src/ops/rms-norm/op.ts";
import { selectiveScan } from "../../../src/ops/selective-scan/op.ts";
import { topK } from "../../../src/ops/top-k/op.ts";
import { wkv } from "../../../src/ops/wkv/op.ts";
import { linearAttentionCase, ruleCases } from "./cases.ts";
import { checkGradients } from "./gradients.ts";

/** One token, one chunk, and chunks of which the last is not full. */
const sizes = [
  [2, 1],
  [1, 33],
  [2, 150],
] as const;

describe("linear_attention", () => {
  it.each(ruleCases())("with $name query, key and value heads", ({ rule, counts }) =>
    checkGradients({ ...linearAttentionCase(rule, counts), sizes }),
  );

  it.each(["gated", "gated_delta"] as const)("%s with a decay for each key", (rule) =>
    checkGradients({
      leaves: {
        q: { shape: ["B", "T", 2, 4] },
        k: { shape: ["B", "T", 2, 4], range: [-0.5, 0.5] },
        v: { shape: ["B", "T", 2, 3] },
        decay: { shape: ["B", "T", 2, 4], range: [-1, 0] },
        beta: { shape: ["B", "T", 2], range: [0, 1], weight: !hasBeta(rule) },
      },
      build: (leaf) => {
        const beta = hasBeta(rule) ? { beta: leaf("beta") } : {};
        return {
          y: linearAttention(rule, leaf("q"), leaf("k"), leaf("v"), { decay: leaf("decay"), ...beta }).output,
        };
      },
      sizes,
    }),
  );
});

it("selective_scan", () =>
  checkGradients({
    leaves: {
      u: { shape: ["B", "T", 6] },
      delta: { shape: ["B", "T", 6] },
      A: { shape: [6, 4], range: [-2, -0.1] },
      Bs: { shape: ["B", "T", 4] },
      Cs: { shape: ["B", "T", 4] },
      D: { shape: [6] },
      z: { shape: ["B", "T", 6] },
      bias: { shape: [6] },
      h0: { shape: ["B", 6, 4] },
    },
    build: (leaf) => {
      const [u, delta, a, b, c] = [leaf("u"), leaf("delta"), leaf("A"), leaf("Bs"), leaf("Cs")];
      const options = { D: leaf("D"), z: leaf("z"), deltaBias: leaf("bias"), initialState: leaf("h0") };
      const full = selectiveScan(u, delta, a, b, c, options);
      return { y: full.output, hT: full.finalState, bare: selectiveScan(u, delta, a, b, c).output };
    },
    sizes,
  }));

it("rg_lru", () =>
  checkGradients({
    leaves: {
      x: { shape: ["B", "T", 5] },
      logA: { shape: ["B", "T", 5], range: [-2, -0.01] },
      position: { shape: ["B"], ids: true, range: [0, 2] },
      h0: { shape: ["B", 5] },
    },
    build: (leaf) => {
      const from = rgLru(leaf("x"), leaf("logA"), { position: leaf("position"), initialState: leaf("h0") });
      return { y: from.output, hT: from.finalState, fresh: rgLru(leaf("x"), leaf("logA")).output };
    },
    sizes,
  }));

it("wkv", () =>
  checkGradients({
    leaves: {
      k: { shape: ["B", "T", 5], range: [-6, 6] },
      v: { shape: ["B", "T", 5] },
      w: { shape: [5], range: [-3, -0.01] },
      u: { shape: [5] },
    },
    build: (leaf) => ({ y: wkv(leaf("k"), leaf("v"), leaf("w"), leaf("u")).output }),
    sizes,
  }));

describe("norms and experts", () => {
  const leaves = {
    x: { shape: ["B", "T", 6] },
    gate: { shape: ["B", "T", 6] },
    residual: { shape: ["B", "T", 6] },
    weight: { shape: [6] },
  } as const;

  it.each([1, 2] as const)("rms_norm with %i groups of channels, in every mode", (groups) =>
    checkGradients({
      leaves,
      build: (leaf) => {
        const options = { eps: 1e-5, groups, weight: leaf("weight") };
        return {
          plain: rmsNorm(leaf("x"), { eps: 1e-5, groups }),
          onePlus: rmsNorm(leaf("x"), { ...options, mode: "one_plus_weight", scale: 3 }),
          after: rmsNorm(leaf("x"), { ...options, gate: leaf("gate") }),
          before: rmsNorm(leaf("x"), { ...options, gate: leaf("gate"), normBeforeGate: false }),
          ...addRmsNorm(leaf("x"), leaf("residual"), options),
        };
      },
    }),
  );

  it.each(["softmax", "sigmoid"] as const)("top_k of %s, and products with what it chooses", (score) =>
    checkGradients({
      leaves: {
        x: { shape: ["B", "T", 4] },
        logits: { shape: ["B", "T", 5] },
        stack: { shape: [5, 3, 4] },
      },
      build: (leaf) => {
        const options = { k: 2, score, normalize: true, normalizeEps: 1e-6, scale: 1.5, groups: 1, topGroups: 1 };
        const { weights, indices } = topK(leaf("logits"), options);
        return { weights, y: expertMatmul(leaf("x"), leaf("stack"), { indices, ...groupRows(indices, 5) }) };
      },
    }),
  );
});
