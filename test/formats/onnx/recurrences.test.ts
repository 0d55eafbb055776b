// Recurrences from primitives in onnxruntime agree with the references: at the lengths around a chunk, from a state and from none,
// with decays that forget at once and decays that hardly forget.
import { describe, it } from "vitest";
import type { Dialect } from "../../../src/formats/onnx/lowering.ts";
import { diagonalScan } from "../../../src/ops/diagonal-scan/op.ts";
import { hasBeta, hasDecay, linearAttention, type UpdateRule } from "../../../src/ops/linear-attention/op.ts";
import { rgLru } from "../../../src/ops/rg-lru/op.ts";
import { selectiveScan } from "../../../src/ops/selective-scan/op.ts";
import { wkv } from "../../../src/ops/wkv/op.ts";
import { checkOnnx } from "./check.ts";

const lengths = [1, 2, 5, 16, 63, 64, 65, 200].map((T) => [T === 5 ? 3 : 1, T] as const);

const dialects: readonly Dialect[] = ["portable", "onnx"];

describe.each(dialects)("in the dialect %s", (dialect) => {
  const rules: readonly UpdateRule[] = ["linear", "gated", "delta", "gated_delta"];
  const heads = [
    [2, 2, 2],
    [1, 1, 4],
    [2, 1, 4],
    [4, 2, 2],
  ] as const;
  const cases = rules.flatMap((rule) =>
    (hasDecay(rule) ? [0, 4] : [0]).flatMap((keys) =>
      heads.map((counts) => ({ rule, counts, keys, name: `${rule} ${counts.join("/")} ${keys}` })),
    ),
  );
  it.each(cases)("linear_attention $name", ({ rule, counts: [query, key, value], keys }) =>
    checkOnnx({
      dialects: [dialect],
      sizes: lengths,
      leaves: {
        q: { shape: ["B", "T", query, 4] },
        k: { shape: ["B", "T", key, 4], range: [-0.5, 0.5] },
        v: { shape: ["B", "T", value, 3] },
        s0: { shape: ["B", value, 4, 3] },
        ...(hasDecay(rule)
          ? { decay: { shape: ["B", "T", value, ...(keys === 0 ? [] : [keys])], range: [-1, 0] } as const }
          : {}),
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

  it.each([
    ["that forget at once", [-50, -40]],
    ["that hardly forget", [-1e-4, 0]],
    ["of every strength", [-50, 0]],
  ] as const)("linear_attention with decays %s", (_, range) =>
    checkOnnx({
      dialects: [dialect],
      sizes: [
        [1, 1],
        [1, 64],
        [2, 200],
      ],
      leaves: {
        q: { shape: ["B", "T", 2, 4] },
        k: { shape: ["B", "T", 2, 4], range: [-0.5, 0.5] },
        v: { shape: ["B", "T", 2, 3] },
        s0: { shape: ["B", 2, 4, 3] },
        decay: { shape: ["B", "T", 2], range },
        keys: { shape: ["B", "T", 2, 4], range },
        beta: { shape: ["B", "T", 2], range: [0, 1] },
      },
      build: (leaf) => {
        const [q, k, v, beta] = [leaf("q"), leaf("k"), leaf("v"), leaf("beta")];
        const results = ["decay", "keys"].flatMap((name) => [
          linearAttention("gated", q, k, v, { decay: leaf(name), initialState: leaf("s0") }),
          linearAttention("gated_delta", q, k, v, { decay: leaf(name), beta, initialState: leaf("s0") }),
        ]);
        return Object.fromEntries(
          results.flatMap(({ output, finalState }, i) => [
            [`y${i}`, output],
            [`state${i}`, finalState],
          ]),
        );
      },
    }),
  );

  it("delta rules with keys that are all alike, each written over by the next", () =>
    checkOnnx({
      dialects: [dialect],
      sizes: [[2, 200]],
      leaves: {
        q: { shape: ["B", "T", 1, 4] },
        k: { shape: ["B", "T", 1, 4], range: [0.49, 0.5] },
        v: { shape: ["B", "T", 1, 3] },
        beta: { shape: ["B", "T", 1], range: [0.99, 1] },
      },
      build: (leaf) => ({
        y: linearAttention("delta", leaf("q"), leaf("k"), leaf("v"), { beta: leaf("beta") }).output,
      }),
    }));

  it("selective_scan", () =>
    checkOnnx({
      dialects: [dialect],
      sizes: lengths,
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

  it("rg_lru", () =>
    checkOnnx({
      dialects: [dialect],
      sizes: lengths,
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

  it("wkv", () =>
    checkOnnx({
      dialects: [dialect],
      sizes: lengths,
      leaves: {
        k: { shape: ["B", "T", 5], range: [-60, 60] },
        v: { shape: ["B", "T", 5] },
        w: { shape: [5], range: [-3, -0.01], weight: true },
        u: { shape: [5], weight: true },
        s0: { shape: ["B", 3, 5], range: [0.1, 1] },
      },
      build: (leaf) => {
        const [k, v, w, u] = [leaf("k"), leaf("v"), leaf("w"), leaf("u")];
        const fresh = wkv(k, v, w, u);
        const from = wkv(k, v, w, u, leaf("s0"));
        return { y: fresh.output, state: fresh.finalState, z: from.output, last: from.finalState };
      },
    }));

  it.each(["zoh", "euler"] as const)("diagonal_scan, %s", (discretization) =>
    checkOnnx({
      dialects: [dialect],
      sizes: lengths,
      leaves: {
        u: { shape: ["B", "T", 3] },
        logDt: { shape: [3], range: [-6, -1], weight: true },
        real: { shape: [3, 4], range: [-1, 0.5], weight: true },
        imaginary: { shape: [3, 4], range: [0, 6], weight: true },
        c: { shape: [3, 4, 2], weight: true },
        h0: { shape: ["B", 3, 4, 2] },
      },
      build: (leaf) => {
        const parameters = { logDt: leaf("logDt"), aLogReal: leaf("real"), aImag: leaf("imaginary"), c: leaf("c") };
        const fresh = diagonalScan(leaf("u"), parameters, { discretization });
        const from = diagonalScan(leaf("u"), parameters, { discretization, initialState: leaf("h0") });
        return { y: fresh.output, state: fresh.finalState, z: from.output, last: from.finalState };
      },
    }),
  );
});
