// Recurrences on the GPU of which only the final state is wanted: the output that nobody reads is left out.
import { expect, test } from "vitest";
import { input } from "../../src/graph/leaves.ts";
import type { Tensor } from "../../src/graph/types.ts";
import { diagonalScan } from "../../src/ops/diagonal-scan/op.ts";
import { gru } from "../../src/ops/gru/op.ts";
import { linearAttention } from "../../src/ops/linear-attention/op.ts";
import { selectiveScan } from "../../src/ops/selective-scan/op.ts";
import { evaluate, expectClose, feedOf, gpuEngines } from "./evaluate.ts";

type Shapes = Readonly<Record<string, readonly number[]>>;
type Get = (name: string) => Tensor;

const heads = (tokens: number): Shapes => ({ q: [2, tokens, 2, 5], k: [2, tokens, 2, 5], v: [2, tokens, 2, 6] });
const linear = (rule: "linear" | "delta") => (x: Get) =>
  linearAttention(rule, x("q"), x("k"), x("v"), rule === "delta" ? { beta: x("beta") } : {}).finalState;

const cases: Readonly<Record<string, readonly [Shapes, (x: Get) => Tensor]>> = {
  "linear_attention, token by token": [heads(9), linear("linear")],
  "linear_attention, in chunks": [heads(70), linear("linear")],
  "the delta rule": [{ ...heads(40), beta: [2, 40, 2] }, linear("delta")],
  selective_scan: [
    { u: [2, 9, 5], delta: [2, 9, 5], A: [5, 3], B: [2, 9, 3], C: [2, 9, 3] },
    (x) => selectiveScan(x("u"), x("delta"), x("A"), x("B"), x("C"), {}).finalState,
  ],
  gru: [{ x: [2, 9, 12], w: [12, 4] }, (x) => gru(x("x"), x("w")).finalState],
  diagonal_scan: [
    { u: [2, 20, 4], logDt: [4], aLogReal: [4, 3], aImag: [4, 3], c: [4, 3, 2] },
    (x) =>
      diagonalScan(
        x("u"),
        { logDt: x("logDt"), aLogReal: x("aLogReal"), aImag: x("aImag"), c: x("c") },
        { discretization: "zoh" },
      ).finalState,
  ],
};

test.each(Object.entries(cases))("%s", async (_, [shapes, build]) => {
  const final = build((name) => input(name, shapes[name] ?? []));
  const feed = feedOf(shapes);
  const [expected = []] = await evaluate([final], feed);
  expect(expected.length).toBeGreaterThan(0);
  for (const engine of gpuEngines) {
    const [actual = []] = await evaluate([final], feed, engine);
    expectClose(engine.name, actual, expected, 2e-5);
  }
});
