// Recurrences from primitives in onnxruntime agree with the references: at the lengths around a chunk, from a state and from none,
// with decays that forget at once and decays that hardly forget.
import { describe, it } from "vitest";
import type { Dialect } from "../../../src/formats/onnx/lowering.ts";
import { diagonalScan } from "../../../src/ops/diagonal-scan/op.ts";
import { hasDecay, linearAttention } from "../../../src/ops/linear-attention/op.ts";
import { wkv } from "../../../src/ops/wkv/op.ts";
import { linearAttentionCase, rgLruCase, ruleCases, selectiveScanCase } from "./cases.ts";
import { checkOnnx } from "./check.ts";

const lengths = [1, 2, 5, 16, 63, 64, 65, 200].map((T) => [T === 5 ? 3 : 1, T] as const);

const dialects: readonly Dialect[] = ["portable", "onnx"];

describe.each(dialects)("in the dialect %s", (dialect) => {
  const cases = ruleCases().flatMap(({ rule, counts, name }) =>
    (hasDecay(rule) ? [0, 4] : [0]).map((keys) => ({ rule, counts, keys, name: `${name} ${keys}` })),
  );
  it.each(cases)("linear_attention $name", ({ rule, counts, keys }) =>
    checkOnnx({ ...linearAttentionCase(rule, counts, keys), dialects: [dialect], sizes: lengths }),
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

  it("selective_scan", () => checkOnnx({ ...selectiveScanCase, dialects: [dialect], sizes: lengths }));

  it("rg_lru", () => checkOnnx({ ...rgLruCase, dialects: [dialect], sizes: lengths }));

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
