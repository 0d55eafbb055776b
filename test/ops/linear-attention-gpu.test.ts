// linear_attention and its gradient on the GPU: sizes that take each kernel, extreme decays, chunks from state to state.
import { describe, test } from "vitest";
import { input } from "../../src/graph/leaves.ts";
import { outputOf, type Tensor } from "../../src/graph/types.ts";
import { differentiate } from "../../src/ops/gradients.ts";
import { hasBeta, hasDecay, linearAttention, type UpdateRule } from "../../src/ops/linear-attention/op.ts";
import { feedOf } from "./evaluate.ts";
import { expectCut } from "./gpu.ts";
import { checkOp, gpuRuntimes, type OpInput } from "./harness.ts";

const rules: readonly UpdateRule[] = ["linear", "gated", "delta", "gated_delta"];

interface Sizes {
  readonly rule: UpdateRule;
  readonly batch?: number;
  readonly time: number;
  /** Heads of q, k, v. */
  readonly heads: readonly [number, number, number];
  readonly dk: number;
  readonly dv: number;
  readonly decay?: "head" | "key" | "constant" | "constant key";
  readonly range?: readonly [number, number];
  readonly initialState?: boolean;
}

function inputsOf(sizes: Sizes): Readonly<Record<string, OpInput>> {
  const { rule, batch = 1, time, heads, dk, dv, decay = "head", range = [-0.7, 0], initialState = true } = sizes;
  const [hq, hk, hv] = heads;
  const norm = dk ** -0.5;
  const shapes = {
    head: [batch, time, hv],
    key: [batch, time, hv, dk],
    constant: [1, 1, hv],
    "constant key": [1, 1, hv, dk],
  };
  return {
    q: { shape: [batch, time, hq, dk] },
    k: { shape: [batch, time, hk, dk], low: -norm, high: norm },
    v: { shape: [batch, time, hv, dv] },
    ...(hasDecay(rule) ? { decay: { shape: shapes[decay], low: range[0], high: range[1] } } : {}),
    ...(hasBeta(rule) ? { beta: { shape: [batch, time, hv], low: 0, high: 1 } } : {}),
    ...(initialState ? { s0: { shape: [batch, hv, dk, dv] } } : {}),
  };
}

function attend(x: Readonly<Record<string, Tensor>>, rule: UpdateRule) {
  const { q, k, v } = x;
  if (q === undefined || k === undefined || v === undefined) throw new Error("q, k or v is missing");
  const { output, finalState } = linearAttention(rule, q, k, v, {
    decay: x.decay,
    beta: x.beta,
    initialState: x.s0,
    scale: 0.7,
  });
  return { y: output, sT: finalState };
}

const forward = (sizes: Sizes) =>
  checkOp({
    inputs: inputsOf(sizes),
    build: (x) => {
      const { y, sT } = attend(x, sizes.rule);
      return { y, sT, starts: outputOf(y, 2) };
    },
    differentiated: [],
    tolerance: { outputs: 1e-5 },
    runtimes: gpuRuntimes,
  });

describe("linear_attention on the GPU, token by token", () => {
  const sizes: readonly Omit<Sizes, "rule">[] = [
    { time: 1, heads: [1, 1, 1], dk: 1, dv: 1 },
    { batch: 2, time: 1, heads: [1, 1, 3], dk: 7, dv: 37, decay: "key" },
    { batch: 3, time: 2, heads: [4, 1, 2], dk: 5, dv: 9, initialState: false },
    { time: 1, heads: [2, 2, 2], dk: 128, dv: 64 },
    { time: 19, heads: [2, 1, 4], dk: 70, dv: 68, decay: "constant" },
    { time: 31, heads: [6, 3, 3], dk: 130, dv: 3, decay: "key" },
    { time: 3, heads: [1, 1, 1], dk: 1100, dv: 5, decay: "constant key" },
  ];
  test.each(rules.flatMap((rule) => sizes.map((size) => ({ rule, ...size }))))(
    "$rule, $time tokens, heads $heads, $dk keys, $dv values",
    async (size) => forward(size),
  );
});

describe("linear_attention on the GPU, in chunks", () => {
  const sizes: readonly Omit<Sizes, "rule">[] = [
    { batch: 2, time: 64, heads: [4, 1, 2], dk: 9, dv: 37 },
    { time: 130, heads: [1, 1, 2], dk: 34, dv: 70, decay: "key", initialState: false },
    { batch: 2, time: 97, heads: [2, 2, 4], dk: 16, dv: 5, decay: "constant" },
    // Enough columns for a GPU without running chunks beside each other.
    { time: 65, heads: [1, 1, 8], dk: 2, dv: 2048, decay: "constant key" },
  ];
  test.each(rules.flatMap((rule) => sizes.map((size) => ({ rule, ...size }))))(
    "$rule, $time tokens, heads $heads, $dk keys, $dv values",
    async (size) => forward(size),
  );
});

const backward = (sizes: Sizes, differentiated?: readonly string[]) =>
  checkOp({
    inputs: inputsOf(sizes),
    build: (x) => attend(x, sizes.rule),
    tolerance: { outputs: 1e-5, gradients: 3e-5 },
    finiteDifferences: false,
    runtimes: gpuRuntimes,
    ...(differentiated === undefined ? {} : { differentiated }),
  });

describe("linear_attention_gradient on the GPU", () => {
  const sizes: readonly Omit<Sizes, "rule">[] = [
    { time: 1, heads: [1, 1, 1], dk: 1, dv: 1 },
    { batch: 2, time: 33, heads: [1, 1, 3], dk: 7, dv: 37, decay: "key" },
    { batch: 2, time: 67, heads: [4, 1, 2], dk: 35, dv: 9, initialState: false },
    { time: 97, heads: [2, 1, 4], dk: 33, dv: 20, decay: "constant key" },
    { time: 31, heads: [1, 1, 1], dk: 130, dv: 18, decay: "constant" },
  ];
  test.each(rules.flatMap((rule) => sizes.map((size) => ({ rule, ...size }))))(
    "$rule, $time tokens, heads $heads, $dk keys, $dv values",
    async (size) => backward(size),
  );

  test.each(rules)("%s: of the final state alone", async (rule) => {
    await backward({ rule, batch: 2, time: 67, heads: [1, 1, 2], dk: 6, dv: 5 }, ["sT"]);
  });

  const ranges: readonly (readonly [number, number])[] = [
    [-1e-6, 0],
    [-100, -99],
    [-100, 0],
    [0, 0.3],
  ];
  test.each(
    (["gated", "gated_delta"] as const).flatMap((rule) =>
      (["head", "key"] as const).flatMap((decay) => ranges.map((range) => ({ rule, decay, range }))),
    ),
  )("log decays of $range by $decay: $rule", async (kind) => {
    await backward({ ...kind, time: 70, heads: [1, 1, 2], dk: 6, dv: 8 });
  });
});

describe("sequences of which tensors are larger than a binding are cut in time", () => {
  const time = 1100;
  const shapes = {
    ...{ q: [1, time, 1, 8], k: [1, time, 1, 8], v: [1, time, 2, 32], decay: [1, time, 2], beta: [1, time, 2] },
    ...{ s0: [1, 2, 8, 32], dy: [1, time, 2, 32], dsT: [1, 2, 8, 32] },
  };
  test.each(["gated", "gated_delta"] as const)("%s, forward and backward", async (rule) => {
    const tensors = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, input(name, shape)]));
    const { beta, dy, dsT, ...rest } = tensors;
    const x = hasBeta(rule) ? { ...rest, beta } : rest;
    const { y, sT } = attend(x as Readonly<Record<string, Tensor>>, rule);
    const seeds = [
      { tensor: y, gradient: dy as Tensor },
      { tensor: sT, gradient: dsT as Tensor },
    ];
    const gradients = differentiate(seeds, Object.values(x) as Tensor[]);
    const feed = feedOf(shapes);
    // Keys of length one, decays that forget within some hundred tokens, so that what runs hand on matters and nothing explodes.
    const scaled = new Map(
      [...feed].map(([name, host]) => [name, { ...host, data: Array.from(host.data, rescale(name)) }]),
    );
    const all = [y, sT, ...gradients].filter((tensor) => tensor !== undefined);
    await expectCut(all, scaled, { tolerance: 1e-4, maxBinding: 270_000 });
  });

  const rescale =
    (name: string) =>
    (value: number): number =>
      name === "decay" ? -0.01 * Math.abs(value) : name === "beta" ? Math.abs(value) : name === "k" ? value / 3 : value;
});
