// The dialect `scan`: every recurrence is one Scan node, which agrees with the references token by token.
import { describe, it } from "vitest";
import type { Dialect } from "../../../src/formats/onnx/lowering.ts";
import { diagonalScan } from "../../../src/ops/diagonal-scan/op.ts";
import { hasBeta, hasDecay, linearAttention, type UpdateRule } from "../../../src/ops/linear-attention/op.ts";
import { rgLru } from "../../../src/ops/rg-lru/op.ts";
import type { Discretization } from "../../../src/ops/s4d-kernel/parameters.ts";
import { selectiveScan } from "../../../src/ops/selective-scan/op.ts";
import { wkv } from "../../../src/ops/wkv/op.ts";
import { type CheckedLeaf, checkOnnx } from "./check.ts";

const dialect: Dialect = "scan";
const dialects: readonly Dialect[] = [dialect];

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
      dialects,
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
        const [q, k, v] = [leaf("q"), leaf("k"), leaf("v")];
        const from = linearAttention(rule, q, k, v, { ...gates, initialState: leaf("s0"), scale: 0.7 });
        const fresh = linearAttention(rule, q, k, v, gates);
        return { y: from.output, state: from.finalState, z: fresh.output };
      },
      operators: { Scan: 2 },
    }),
  );

  it("with a decay for each key, and one for all tokens", () =>
    checkOnnx({
      dialects,
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
      operators: { Scan: 2 },
    }));
});

it("selective_scan, with and without a state, skip, gate and bias", () =>
  checkOnnx({
    dialects,
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
      const bare = selectiveScan(u, delta, a, b, c);
      const full = selectiveScan(u, delta, a, b, c, {
        D: leaf("D"),
        z: leaf("z"),
        deltaBias: leaf("bias"),
        initialState: leaf("h0"),
      });
      return { y: full.output, hT: full.finalState, bare: bare.output, state: bare.finalState };
    },
    operators: { Scan: 2 },
  }));

it("rg_lru, from the start and from a state", () =>
  checkOnnx({
    dialects,
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
    operators: { Scan: 2 },
  }));

it("wkv, from nothing and from a state, with keys far apart", () =>
  checkOnnx({
    dialects,
    leaves: {
      k: { shape: ["B", "T", 5], range: [-60, 60] },
      v: { shape: ["B", "T", 5] },
      w: { shape: [5], range: [-3, -0.01], weight: true },
      u: { shape: [5], weight: true },
      s0: { shape: ["B", 3, 5], range: [0.1, 2] },
    },
    build: (leaf) => {
      const fresh = wkv(leaf("k"), leaf("v"), leaf("w"), leaf("u"));
      const from = wkv(leaf("k"), leaf("v"), leaf("w"), leaf("u"), leaf("s0"));
      return { y: fresh.output, s: fresh.finalState, z: from.output, sT: from.finalState };
    },
    operators: { Scan: 2 },
  }));

it.each(["zoh", "euler"] satisfies Discretization[])("diagonal_scan, discretised by %s", (discretization) => {
  const weight = (shape: readonly number[], range: CheckedLeaf["range"] = [-1, 1]): CheckedLeaf => ({
    shape,
    range,
    weight: true,
  });
  return checkOnnx({
    dialects,
    leaves: {
      u: { shape: ["B", "T", 3] },
      logDt: weight([3], [-5, 0]),
      aLogReal: weight([3, 4], [-1, 0]),
      aImag: weight([3, 4], [-8, 8]),
      c: weight([3, 4, 2]),
      h0: { shape: ["B", 3, 4, 2] },
    },
    build: (leaf) => {
      const parameters = { logDt: leaf("logDt"), aLogReal: leaf("aLogReal"), aImag: leaf("aImag"), c: leaf("c") };
      const fresh = diagonalScan(leaf("u"), parameters, { discretization });
      const from = diagonalScan(leaf("u"), parameters, { discretization, initialState: leaf("h0") });
      return { y: fresh.output, h: fresh.finalState, z: from.output, hT: from.finalState };
    },
    operators: { Scan: 2 },
  });
});
