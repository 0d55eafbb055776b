// What mixes tokens: rotary positions, convolutions, recurrences and attention in onnxruntime agree with the references.
import { describe, it } from "vitest";
import { attention } from "../../../src/ops/attention/op.ts";
import { causalConv } from "../../../src/ops/causal-conv/op.ts";
import { gru } from "../../../src/ops/gru/op.ts";
import { hasBeta, hasDecay, linearAttention, type UpdateRule } from "../../../src/ops/linear-attention/op.ts";
import { rgLru } from "../../../src/ops/rg-lru/op.ts";
import { rope } from "../../../src/ops/rope/op.ts";
import { selectiveScan } from "../../../src/ops/selective-scan/op.ts";
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
  const rules: readonly UpdateRule[] = ["linear", "gated", "delta", "gated_delta"];
  const heads = [
    [2, 2, 2],
    [1, 1, 4],
    [2, 1, 4],
    [4, 2, 2],
  ] as const;
  const cases = rules.flatMap((rule) => heads.map((counts) => ({ rule, counts, name: `${rule} ${counts.join("/")}` })));

  it.each(cases)("with $name query, key and value heads", ({ rule, counts: [query, key, value] }) =>
    checkOnnx({
      leaves: {
        q: { shape: ["B", "T", query, 4] },
        k: { shape: ["B", "T", key, 4], range: [-0.5, 0.5] },
        v: { shape: ["B", "T", value, 3] },
        s0: { shape: ["B", value, 4, 3] },
        ...(hasDecay(rule) ? { decay: { shape: ["B", "T", value], range: [-1, 0] } as const } : {}),
        ...(hasBeta(rule) ? { beta: { shape: ["B", "T", value], range: [0, 1] } as const } : {}),
      },
      build: (leaf) => {
        const gates = {
          ...(hasDecay(rule) ? { decay: leaf("decay") } : {}),
          ...(hasBeta(rule) ? { beta: leaf("beta") } : {}),
        };
        const from = linearAttention(rule, leaf("q"), leaf("k"), leaf("v"), {
          ...gates,
          initialState: leaf("s0"),
          scale: 0.7,
        });
        const fresh = linearAttention(rule, leaf("q"), leaf("k"), leaf("v"), gates);
        return { y: from.output, state: from.finalState, z: fresh.output };
      },
    }),
  );

  it("with a decay for each key, and one for all tokens", () =>
    checkOnnx({
      leaves: {
        q: { shape: ["B", "T", 2, 4] },
        k: { shape: ["B", "T", 2, 4] },
        v: { shape: ["B", "T", 2, 3] },
        keys: { shape: ["B", "T", 2, 4], range: [-1, 0] },
        constant: { shape: [1, 1, 2], range: [-1, 0] },
      },
      build: (leaf) => ({
        perKey: linearAttention("gated", leaf("q"), leaf("k"), leaf("v"), { decay: leaf("keys") }).output,
        all: linearAttention("gated", leaf("q"), leaf("k"), leaf("v"), { decay: leaf("constant") }).output,
      }),
    }));
});

describe("selective_scan", () => {
  it("with and without a state, skip, gate and bias", () =>
    checkOnnx({
      leaves: {
        u: { shape: ["B", "T", 6] },
        delta: { shape: ["B", "T", 6] },
        A: { shape: [6, 4], range: [-2, -0.1], weight: true },
        Bs: { shape: ["B", "T", 4] },
        Cs: { shape: ["B", "T", 4] },
        D: { shape: [6], weight: true },
        z: { shape: ["B", "T", 6] },
        bias: { shape: [6], weight: true },
        h0: { shape: ["B", 6, 4] },
      },
      build: (leaf) => {
        const [u, delta, a, b, c] = [leaf("u"), leaf("delta"), leaf("A"), leaf("Bs"), leaf("Cs")];
        const options = { D: leaf("D"), z: leaf("z"), deltaBias: leaf("bias"), initialState: leaf("h0") };
        const full = selectiveScan(u, delta, a, b, c, options);
        const bare = selectiveScan(u, delta, a, b, c);
        return { y: full.output, hT: full.finalState, bare: bare.output, state: bare.finalState };
      },
    }));
});

describe("rg_lru", () => {
  it("from the start and from a state", () =>
    checkOnnx({
      leaves: {
        x: { shape: ["B", "T", 5] },
        logA: { shape: ["B", "T", 5], range: [-2, -0.1] },
        position: { shape: ["B"], ids: true, range: [0, 2] },
        h0: { shape: ["B", 5] },
      },
      build: (leaf) => {
        const fresh = rgLru(leaf("x"), leaf("logA"));
        const from = rgLru(leaf("x"), leaf("logA"), { position: leaf("position"), initialState: leaf("h0") });
        return { y: fresh.output, h: fresh.finalState, z: from.output, hT: from.finalState };
      },
    }));
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
