// What mixes tokens: rotary positions, convolutions, recurrences and attention in onnxruntime agree with the references.
import { describe, it } from "vitest";
import { attention } from "../../../src/ops/attention/op.ts";
import { causalConv } from "../../../src/ops/causal-conv/op.ts";
import { gru } from "../../../src/ops/gru/op.ts";
import { rope } from "../../../src/ops/rope/op.ts";
import { decayCase, linearAttentionCase, rgLruCase, ruleCases, selectiveScanCase } from "./cases.ts";
import { type CheckedLeaf, checkOnnx } from "./check.ts";

describe("rope", () => {
  const leaves = {
    x: { shape: ["B", "T", 2, 6] },
    frequencies: { shape: [2], range: [0, 1] },
    first: { shape: ["B"], ids: true, range: [0, 100] },
    each: { shape: ["B", "T"], ids: true, range: [0, 100] },
  } as const satisfies Record<string, CheckedLeaf>;

  it("rotates by positions counted, given for the first token, or for each", () =>
    checkOnnx({
      leaves,
      build: (leaf) => ({
        counted: rope(leaf("x"), leaf("frequencies")),
        started: rope(leaf("x"), leaf("frequencies"), { positions: leaf("first") }),
        scaled: rope(leaf("x"), leaf("frequencies"), { positions: leaf("each"), attentionScaling: 1.25 }),
        inverse: rope(leaf("x"), leaf("frequencies"), { positions: leaf("each"), inverse: true }),
      }),
      tolerance: 3e-5,
    }));
});

describe("causal_conv", () => {
  it.each([1, 2, 4])("with %i taps, with and without a window, bias and activation", (taps) =>
    checkOnnx({
      leaves: {
        x: { shape: ["B", "T", 5] },
        w: { shape: [5, taps], weight: true },
        bias: { shape: [5], weight: true },
        ...(taps > 1 ? { past: { shape: ["B", taps - 1, 5] } as const } : {}),
      },
      build: (leaf) => {
        const past = taps > 1 ? leaf("past") : undefined;
        const whole = causalConv(leaf("x"), leaf("w"), { bias: leaf("bias"), past, activation: "silu" });
        const fresh = causalConv(leaf("x"), leaf("w"));
        return {
          y: whole.output,
          z: fresh.output,
          // A single tap leaves nothing behind.
          ...(taps > 1 ? { present: whole.present, left: fresh.present } : {}),
        };
      },
    }),
  );
});

describe("linear_attention", () => {
  it.each(ruleCases())("with $name query, key and value heads", ({ rule, counts }) =>
    checkOnnx(linearAttentionCase(rule, counts)),
  );

  it("with a decay for each key, and one for all tokens", () => checkOnnx(decayCase));
});

describe("selective_scan", () => {
  it("with and without a state, skip, gate and bias", () => checkOnnx(selectiveScanCase));
});

describe("rg_lru", () => {
  it("from the start and from a state", () => checkOnnx(rgLruCase));
});

describe("gru", () => {
  it("with and without bias and state", () =>
    checkOnnx({
      leaves: {
        gates: { shape: ["B", "T", 12] },
        w: { shape: [12, 4], weight: true },
        bias: { shape: [12], weight: true },
        h0: { shape: ["B", 4] },
      },
      build: (leaf) => {
        const full = gru(leaf("gates"), leaf("w"), { bias: leaf("bias"), initialState: leaf("h0") });
        const bare = gru(leaf("gates"), leaf("w"));
        return { y: full.output, hT: full.finalState, bare: bare.output };
      },
    }));
});

describe("attention", () => {
  it.each([
    [4, 4],
    [4, 2],
    [3, 1],
  ])("with %i query heads and %i key heads: full, windowed, capped, with sinks", (query, key) =>
    checkOnnx({
      leaves: {
        q: { shape: ["B", "T", query, 4], range: [-3, 3] },
        k: { shape: ["B", "T", key, 4] },
        v: { shape: ["B", "T", key, 6] },
        sink: { shape: [query], weight: true },
      },
      build: (leaf) => {
        const attend = (options: Parameters<typeof attention>[3]) =>
          attention(leaf("q"), leaf("k"), leaf("v"), options).output;
        return {
          causal: attend({}),
          all: attend({ causal: false }),
          windowed: attend({ window: 3 }),
          capped: attend({ softcap: 2, scale: 1 }),
          sinks: attend({ sink: leaf("sink"), window: 2 }),
        };
      },
    }),
  );
});
