// The dialect `scan`: every recurrence is one Scan node, which agrees with the references token by token.
import { describe, it } from "vitest";
import type { Dialect } from "../../../src/formats/onnx/lowering.ts";
import { diagonalScan } from "../../../src/ops/diagonal-scan/op.ts";
import type { Discretization } from "../../../src/ops/s4d-kernel/parameters.ts";
import { wkv } from "../../../src/ops/wkv/op.ts";
import { decayCase, linearAttentionCase, rgLruCase, ruleCases, selectiveScanCase } from "./cases.ts";
import { type CheckedLeaf, checkOnnx } from "./check.ts";

const dialect: Dialect = "scan";
const dialects: readonly Dialect[] = [dialect];

/** A recurrence from a state, and one from none. */
const twoScans = { dialects, operators: { Scan: 2 } } as const;

describe("linear_attention", () => {
  it.each(ruleCases())("with $name query, key and value heads", ({ rule, counts }) =>
    checkOnnx({ ...linearAttentionCase(rule, counts), ...twoScans }),
  );

  it("with a decay for each key, and one for all tokens", () => checkOnnx({ ...decayCase, ...twoScans }));
});

it("selective_scan, with and without a state, skip, gate and bias", () =>
  checkOnnx({ ...selectiveScanCase, ...twoScans }));

it("rg_lru, from the start and from a state", () => checkOnnx({ ...rgLruCase, ...twoScans }));

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
