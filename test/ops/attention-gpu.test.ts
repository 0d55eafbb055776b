// attention on the GPU in each of its variants: tiles of rows, narrow subgroups that broadcast, several threads a row, few rows
// over long caches, keys in parts; sizes chosen so that each is taken, and ends of tiles are reached.
import { describe, expect, test } from "vitest";
import { input } from "../../src/graph/leaves.ts";
import type { Tensor } from "../../src/graph/types.ts";
import { type AttentionOptions, attention } from "../../src/ops/attention/op.ts";
import { required } from "../../src/ops/types.ts";
import { evaluate, expectClose, feedOf, gpuEngines } from "./evaluate.ts";

interface Case {
  readonly batch?: number;
  readonly queries: number;
  readonly keys?: number;
  readonly heads: readonly [query: number, key: number];
  readonly dims: readonly [key: number, value: number];
  readonly options?: Omit<AttentionOptions, "sink">;
  readonly sink?: boolean;
}

const cases: Readonly<Record<string, Case>> = {
  "one token": { queries: 1, heads: [3, 1], dims: [5, 7] },
  "a prompt, several rows a thread": { queries: 70, heads: [4, 1], dims: [64, 64] },
  "a window, odd sizes, a sink": {
    ...{ batch: 2, queries: 83, heads: [6, 2], dims: [13, 19] },
    ...{ options: { window: 37 }, sink: true },
  },
  "queries before the first key": { queries: 29, keys: 15, heads: [2, 1], dims: [4, 4] },
  "few queries before the first key": { queries: 9, keys: 5, heads: [1, 1], dims: [4, 4] },
  "wide heads, capped": { queries: 33, heads: [2, 1], dims: [128, 96], options: { softcap: 3 } },
  "the widest heads": { queries: 20, heads: [2, 1], dims: [256, 250] },
  "one query, keys in parts": { queries: 1, keys: 700, heads: [8, 2], dims: [64, 64] },
  "eight rows, keys in parts": {
    ...{ queries: 2, keys: 700, heads: [8, 2], dims: [18, 10] },
    ...{ options: { window: 650, softcap: 2 }, sink: true },
  },
  "tiles of rows, keys in parts": { queries: 40, keys: 900, heads: [4, 2], dims: [20, 36], sink: true },
  "no mask": { batch: 3, queries: 21, keys: 70, heads: [2, 2], dims: [12, 16], options: { causal: false } },
};

describe("attention on the GPU", () => {
  test.each(Object.entries(cases))("%s", async (_, { batch = 1, queries, keys = queries, ...rest }) => {
    const { heads, dims, options = {}, sink = false } = rest;
    const shapes: Record<string, readonly number[]> = {
      q: [batch, queries, heads[0], dims[0]],
      k: [batch, keys, heads[1], dims[0]],
      v: [batch, keys, heads[1], dims[1]],
      ...(sink ? { sink: [heads[0]] } : {}),
    };
    const tensors: Readonly<Record<string, Tensor>> = Object.fromEntries(
      Object.entries(shapes).map(([name, shape]) => [name, input(name, shape)]),
    );
    const [q, k, v] = [tensors.q, tensors.k, tensors.v].map((tensor) => required(tensor, "q, k or v"));
    const { output, logSumExp } = attention(q as Tensor, k as Tensor, v as Tensor, { sink: tensors.sink, ...options });
    const feed = feedOf(shapes);
    const expected = await evaluate([output, logSumExp], feed);
    for (const engine of gpuEngines) {
      const actual = await evaluate([output, logSumExp], feed, engine);
      for (const i of [0, 1]) expectClose(`${engine.name} ${i}`, actual[i] ?? [], expected[i] ?? [], 2e-5);
      const [alone] = await evaluate([output], feed, engine);
      expect(alone).toEqual(actual[0]);
    }
  });
});
