// attention and its gradient: PyTorch fixtures, finite differences, sizes with tails, ring caches, memory, errors.
import { describe, expect, test } from "vitest";
import { input } from "../../src/graph/leaves.ts";
import { GraphError, type Shape, sizeOf } from "../../src/graph/shape.ts";
import type { OpDefinition, Tensor } from "../../src/graph/types.ts";
import { type AttentionOptions, attention, attentionOp } from "../../src/ops/attention/op.ts";
import { attentionSizes, visiblePairs } from "../../src/ops/attention/sizes.ts";
import { lower, planAttention } from "../../src/ops/attention/wasm.ts";
import { attentionGradientOp } from "../../src/ops/attention-gradient/op.ts";
import { lower as lowerGradient } from "../../src/ops/attention-gradient/wasm.ts";
import { differentiate } from "../../src/ops/gradients.ts";
import type { WasmLowering, WasmTensor } from "../../src/runtime/wasm/lowering.ts";
import { checkFixture, engines, evaluate, expectEnginesAgree, expectGradients, feedOf, numbers } from "./evaluate.ts";
import { loadCases } from "./fixtures.ts";
import { checkOp } from "./harness.ts";

function need<V>(value: V | undefined): V {
  if (value === undefined) throw new Error("missing");
  return value;
}

const cases = await loadCases("attention");

describe.each(engines)("on $name", (engine) => {
  test.each(cases)("attention agrees with PyTorch in outputs and all gradients: $name", async (fixture) => {
    const { scale, causal, window, softcap } = fixture.attrs;
    await checkFixture(fixture, engine, (x) => {
      const options = {
        scale: Number(scale),
        causal: causal === true,
        window: Number(window),
        softcap: Number(softcap),
      };
      const { output } = attention(need(x.get("q")), need(x.get("k")), need(x.get("v")), {
        sink: x.get("sink"),
        ...options,
      });
      return { y: output };
    });
  });
});

interface Sizes {
  readonly batch?: number;
  readonly queries: number;
  readonly keys?: number;
  readonly heads: readonly [query: number, key: number];
  readonly dims: readonly [key: number, value: number];
  readonly options?: Omit<AttentionOptions, "sink">;
  readonly sink?: boolean;
}

/** The op on fresh inputs, their values, and the gradients of Σ y ∘ numbers + Σ lse ∘ numbers. */
function built({ batch = 1, queries, keys = queries, heads, dims, options = {}, sink = false }: Sizes) {
  const shapes: Record<string, readonly number[]> = {
    q: [batch, queries, heads[0], dims[0]],
    k: [batch, keys, heads[1], dims[0]],
    v: [batch, keys, heads[1], dims[1]],
    ...(sink ? { sink: [heads[0]] } : {}),
  };
  const tensors = new Map(Object.entries(shapes).map(([name, shape]) => [name, input(name, shape)]));
  const { output, logSumExp } = attention(need(tensors.get("q")), need(tensors.get("k")), need(tensors.get("v")), {
    sink: tensors.get("sink"),
    ...options,
  });
  return { outputs: [output, logSumExp], inputs: [...tensors.values()], feed: feedOf(shapes) };
}

const sizes: Readonly<Record<string, Sizes>> = {
  "one token": { queries: 1, heads: [3, 1], dims: [5, 7] },
  "one channel": { queries: 7, heads: [2, 2], dims: [1, 1] },
  "a window of one": { queries: 19, heads: [2, 1], dims: [8, 4], options: { window: 1 } },
  "a window beyond the sequence": { queries: 19, heads: [2, 1], dims: [8, 4], options: { window: 64 } },
  "several tiles, odd everything": {
    batch: 2,
    queries: 83,
    heads: [6, 2],
    dims: [13, 19],
    options: { window: 37 },
    sink: true,
  },
  "several tiles of keys": { queries: 40, keys: 333, heads: [4, 2], dims: [20, 36] },
  "heads that do not divide among threads": { queries: 150, heads: [3, 3], dims: [16, 32], options: { softcap: 2 } },
  "one key head, many tiles of rows": { queries: 50, heads: [9, 1], dims: [24, 24], sink: true },
  "no mask": { batch: 3, queries: 21, keys: 70, heads: [2, 2], dims: [12, 16], options: { causal: false } },
  "few rows over many keys": {
    batch: 1,
    queries: 2,
    keys: 201,
    heads: [8, 2],
    dims: [18, 10],
    options: { window: 150 },
    sink: true,
  },
  "one row over many keys": { queries: 1, keys: 71, heads: [3, 3], dims: [10, 20], sink: true },
  "one row left over": { queries: 65, heads: [2, 2], dims: [16, 18] },
  "queries before the first key": { queries: 9, keys: 5, heads: [2, 1], dims: [4, 4] },
  "wide heads": { queries: 33, heads: [2, 1], dims: [128, 96] },
};

describe("attention", () => {
  test.each(Object.entries(sizes))("and its gradients are the reference's in every build: %s", async (_, shape) => {
    const { outputs, inputs, feed } = built(shape);
    const seeds = outputs.map((tensor, i) => ({ tensor, gradient: input(`upstream${i}`, tensor.shape) }));
    const all = new Map(feed);
    for (const [i, { tensor }] of seeds.entries()) {
      const shape = tensor.shape as readonly number[];
      all.set(`upstream${i}`, { shape, dtype: "f32", data: numbers(sizeOf(shape), 99 + i) });
    }
    // Where a query sees nothing its lse is -∞, which has no gradient to compare.
    const used = shape.keys !== undefined && shape.keys < shape.queries ? seeds.slice(0, 1) : seeds;
    const gradients = differentiate(used, inputs).filter((tensor) => tensor !== undefined);
    expect(gradients).toHaveLength(inputs.length);
    await expectEnginesAgree([...outputs, ...gradients], all, 5e-5);
  });

  test.each([
    ["plain", { batch: 2, queries: 5, heads: [2, 1], dims: [3, 2] }],
    [
      "everything",
      {
        queries: 4,
        keys: 6,
        heads: [4, 2],
        dims: [2, 3],
        options: { window: 3, softcap: 1.5, scale: 0.7 },
        sink: true,
      },
    ],
    ["no mask", { queries: 3, keys: 4, heads: [1, 1], dims: [2, 2], options: { causal: false } }],
  ] as const)("gradients are finite differences, through y and lse: %s", async (_, shape) => {
    const { outputs, inputs, feed } = built(shape);
    await expectGradients(outputs, inputs, feed, 1e-5);
  });

  test("runs on real threads, with the gradient of each output alone", async () => {
    const inputs = {
      q: { shape: ["B", "T", 4, 12] },
      k: { shape: ["B", "T", 2, 12] },
      v: { shape: ["B", "T", 2, 8] },
    } as const;
    for (const differentiated of [["y"], ["lse"]]) {
      await checkOp({
        inputs,
        bindings: { B: 3, T: 45 },
        build: (x) => {
          const { output, logSumExp } = attention(need(x.q), need(x.k), need(x.v), { window: 20 });
          return { y: output, lse: logSumExp };
        },
        differentiated,
      });
    }
  });

  test("gives the same bits on every run", async () => {
    const { outputs, inputs, feed } = built(need(sizes["heads that do not divide among threads"]));
    const y = need(outputs[0]);
    const gradients = differentiate([{ tensor: y, gradient: input("dy", y.shape) }], inputs).filter(
      (t) => t !== undefined,
    );
    const all = new Map(feed).set("dy", {
      shape: y.shape as readonly number[],
      dtype: "f32",
      data: numbers(150 * 3 * 32),
    });
    const engine = { name: "relaxed", wasm: { build: "relaxed", threads: 2 } } as const;
    expect(await evaluate(gradients, all, engine)).toEqual(await evaluate(gradients, all, engine));
  });

  test("does not read keys and values beyond the window", async () => {
    const { outputs, feed } = built({ queries: 90, heads: [2, 1], dims: [8, 8], options: { window: 4 } });
    const engine = { name: "simd", wasm: { build: "simd", threads: 1 } } as const;
    const last = (values: ArrayLike<number> | undefined) => Array.from(need(values)).slice(-2 * 8);
    const [before] = await evaluate(outputs.slice(0, 1), feed, engine);
    for (const name of ["k", "v"]) {
      const value = need(feed.get(name));
      feed.set(name, { ...value, data: Float32Array.from(value.data).fill(Number.NaN, 0, 60 * 8) });
    }
    const [after] = await evaluate(outputs.slice(0, 1), feed, engine);
    expect(last(after)).toEqual(last(before));
    expect(after?.[59 * 16]).toBeNaN();
  });
});

/** Bytes of scratch that an op asks for. */
function scratchOf<A>(
  op: OpDefinition<A>,
  lowering: WasmLowering<A>,
  shapes: readonly (Shape | undefined)[],
  attributes: A,
  threads: number,
): number {
  const tensor = (shape: Shape): WasmTensor => ({
    kind: "tensor",
    shape: shape as readonly number[],
    dtype: "f32",
    layout: "plain",
  });
  const types = shapes.map((shape) => shape && { shape, dtype: "f32" as const });
  let bytes = 0;
  lowering(
    {
      attributes,
      inputs: shapes.map((shape) => shape && tensor(shape)),
      outputs: op.infer(types, attributes).map(({ shape }) => tensor(shape)),
    },
    {
      threads,
      command: () => {},
      scratch: (size) => {
        bytes += size;
        return { kind: "scratch", bytes: size };
      },
    },
  );
  return bytes;
}

describe("memory and work", () => {
  test.each([
    [1, 8, 2],
    [2, 8, 2],
    [2, 3, 1],
    [8, 4, 4],
  ])("scratch grows at most linearly with T, far below T² (%i threads, %i heads over %i)", (threads, hq, hk) => {
    const attributes = { scale: 1, causal: true, window: 0, softcap: 0 };
    const forward = (t: number) =>
      scratchOf(
        attentionOp,
        lower,
        [
          [1, t, hq, 64],
          [1, t, hk, 64],
          [1, t, hk, 64],
        ],
        attributes,
        threads,
      );
    const backward = (t: number) => {
      const y = [1, t, hq, 64];
      const inputs = [y, [1, t, hk, 64], [1, t, hk, 64], undefined, y, [1, t, hq], y];
      return scratchOf(attentionGradientOp, lowerGradient, inputs, attributes, threads);
    };
    for (const bytes of [forward, backward]) {
      for (const t of [1024, 4096, 16384]) expect(bytes(2 * t)).toBeLessThanOrEqual(2 * bytes(t));
    }
    // Forward: nothing that grows at all.
    expect(forward(65536)).toBe(forward(4096));
    // Backward: at most one copy of dk and dv for each thread.
    expect(backward(65536)).toBeLessThanOrEqual(threads * (4 * 2 * 65536 * hk * 64 + (1 << 20)));
  });

  test("few rows of a long cache are split over its keys unless the batch already divides", async () => {
    const plan = (batch: number, threads: number) => {
      const shapes = [
        [batch, 1, 8, 64],
        [batch, 1, 2, 64],
        [batch, 1, 2, 64],
      ].map((shape) => ({ shape }));
      return planAttention(attentionSizes("attention", shapes[0], shapes[1], shapes[2]), 4096, 0, threads);
    };
    expect(plan(1, 2)).toMatchObject({ splits: 2, itemHeads: 2, panelRows: 4 });
    expect(plan(4, 2)).toMatchObject({ splits: 1, items: 4 });
  });

  test("the number of pairs counts what each query sees", async () => {
    for (const causal of [true, false]) {
      for (const window of causal ? [0, 1, 3, 10] : [0]) {
        for (const [queries, keys, past] of [
          [1, 1, 0],
          [5, 5, 0],
          [3, 7, 0],
          [4, 4, 6],
          [7, 3, 0],
          [1, 1, 20],
        ] as const) {
          let count = 0;
          for (let i = 0; i < queries; i++) {
            const at = past + keys - queries + i;
            for (let j = 0; j < past + keys; j++) if (!(causal && j > at) && !(window > 0 && j <= at - window)) count++;
          }
          expect(visiblePairs(queries, keys, past, { causal, window }), `${queries} ${keys} ${past} ${window}`).toBe(
            count,
          );
        }
      }
    }
  });
});

describe("attention refuses", () => {
  const make = (shapes: readonly Shape[], options: AttentionOptions = {}): (() => unknown) => {
    const [q, k, v] = shapes.map((shape, i) => input(`x${i}`, shape));
    return () => attention(need(q), need(k), need(v), options);
  };
  const good: readonly Shape[] = [
    ["B", "T", 4, 8],
    ["B", "T", 2, 8],
    ["B", "T", 2, 6],
  ];
  const cache: readonly Tensor[] = [input("pk", ["B", "C", 2, 8]), input("pv", ["B", "C", 2, 6])];
  const [pastKey, pastValue] = cache;
  const position = input("position", ["B"], "i32");

  test.each([
    ["heads that do not divide", [["B", "T", 3, 8], good[1], good[2]], {}, "3 query heads cannot share 2 key heads"],
    ["another batch", [good[0], [2, "T", 2, 8], good[2]], {}, "k must be [B, Tk, Hk, d]"],
    ["another key width", [good[0], ["B", "T", 2, 9], good[2]], {}, "k must be [B, Tk, Hk, d]"],
    ["values of other tokens", [good[0], good[1], ["B", 5, 2, 6]], {}, "v must be [B, Tk, Hk, dv]"],
    ["missing axes", [["B", "T", 8], good[1], good[2]], {}, "q is f32 [B, T, 8]"],
    ["a window without causality", good, { causal: false, window: 3 }, "a window needs causal attention"],
    ["half a window", good, { window: 2.5 }, "window 2.5"],
    ["a negative cap", good, { softcap: -1 }, "softcap -1"],
    ["a sink of other heads", good, { sink: input("s", [3]) }, "sink is f32 [3], must be f32 [4]"],
    ["half a cache", good, { pastKey, position }, "belong together"],
    ["a cache without position", good, { pastKey, pastValue }, "belong together"],
    ["caches swapped", good, { pastKey: pastValue, pastValue: pastKey, position }, "past_k is f32 [B, C, 2, 6]"],
    [
      "positions that are floats",
      good,
      { pastKey, pastValue, position: input("p", ["B"]) },
      "position is f32 [B], must be i32 [B]",
    ],
  ] as const)("%s", (_, shapes, options, message) => {
    const build = make(shapes as readonly Shape[], options as AttentionOptions);
    expect(build).toThrow(GraphError);
    expect(build).toThrow(message);
  });

  test("gradients through a cache", async () => {
    const [q, k, v] = good.map((shape, i) => input(`x${i}`, shape));
    const { output } = attention(need(q), need(k), need(v), { pastKey, pastValue, position });
    const seeds = [{ tensor: output, gradient: input("dy", output.shape) }];
    expect(() => differentiate(seeds, [need(q)])).toThrow("no gradient through a key-value cache");
  });
});
