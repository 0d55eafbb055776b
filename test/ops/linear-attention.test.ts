// linear_attention and its gradient: PyTorch fixtures, finite differences, every build and thread count, sizes with tails.
import { describe, expect, test } from "vitest";
import { input } from "../../src/graph/leaves.ts";
import { GraphError } from "../../src/graph/shape.ts";
import type { Tensor } from "../../src/graph/types.ts";
import {
  hasBeta,
  hasDecay,
  type LinearAttentionAttributes,
  linearAttention,
  linearAttentionOp,
  type UpdateRule,
} from "../../src/ops/linear-attention/op.ts";
import { reference } from "../../src/ops/linear-attention/reference.ts";
import { lower } from "../../src/ops/linear-attention/wasm.ts";
import { linearAttentionGradientOp } from "../../src/ops/linear-attention-gradient/op.ts";
import { reference as gradientReference } from "../../src/ops/linear-attention-gradient/reference.ts";
import { lower as lowerGradient } from "../../src/ops/linear-attention-gradient/wasm.ts";
import type { HostTensor } from "../../src/ops/types.ts";
import { loadCases } from "./fixtures.ts";
import { checkOp, compare, generator, type OpInput } from "./harness.ts";
import { builds, type HostInput, prepare, runLowered } from "./lowered.ts";

const rules: readonly UpdateRule[] = ["linear", "gated", "delta", "gated_delta"];

const required = <V>(value: V | undefined): V => {
  if (value === undefined) throw new Error("missing");
  return value;
};

/** Applies the op to inputs by the fixtures' names. */
function attend(x: Readonly<Record<string, Tensor>>, { rule, scale }: LinearAttentionAttributes) {
  const { output, finalState } = linearAttention(rule, required(x.q), required(x.k), required(x.v), {
    decay: x.decay,
    beta: x.beta,
    initialState: x.s0,
    scale,
  });
  return { y: output, sT: finalState };
}

const cases = await loadCases("linear_attention");

test.each(cases)("linear_attention agrees with PyTorch in outputs and all gradients: $name", async (fixture) => {
  const data = (names: readonly string[]): Record<string, ArrayLike<number>> =>
    Object.fromEntries(names.map((name) => [name, required(fixture.tensors.get(name)).data]));
  const attributes = { rule: fixture.attrs.rule as UpdateRule, scale: Number(fixture.attrs.scale) };
  await checkOp({
    inputs: Object.fromEntries(
      fixture.inputs.map((name) => {
        const { shape, data: values } = required(fixture.tensors.get(name));
        return [name, { shape, values }];
      }),
    ),
    build: (x) => attend(x, attributes),
    upstream: Object.fromEntries(
      fixture.upstream.map((name) => [name.slice(1), required(fixture.tensors.get(name)).data]),
    ),
    differentiated: fixture.upstream.map((name) => name.slice(1)),
    expected: data([...fixture.outputs, ...fixture.grads]),
    tolerance: { outputs: fixture.tolerance, gradients: fixture.tolerance },
    finiteDifferences: false,
  });
});

interface Sizes {
  readonly rule: UpdateRule;
  readonly batch: number;
  readonly time: number;
  /** Heads of q, k, v. */
  readonly heads: readonly [number, number, number];
  readonly dk: number;
  readonly dv: number;
  /** Shape of decay; one per token and head by default. */
  readonly decay?: "head" | "key" | "constant" | "constant key";
  /** Range of the log decay. */
  readonly range?: readonly [number, number];
}

/** Inputs of every kind that the rule takes; keys of norm at most 1. */
function inputsOf(sizes: Sizes): Readonly<Record<string, OpInput>> {
  const { rule, batch, time, heads, dk, dv, decay = "head", range = [-0.7, 0] } = sizes;
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
    s0: { shape: [batch, hv, dk, dv] },
  };
}

const check = (sizes: Sizes, finiteDifferences = false, differentiated?: readonly string[]) =>
  checkOp({
    inputs: inputsOf(sizes),
    build: (x) => attend(x, { rule: sizes.rule, scale: 0.7 }),
    tolerance: { outputs: 1e-5, gradients: 3e-5 },
    finiteDifferences,
    ...(differentiated === undefined ? {} : { differentiated }),
  });

describe("linear_attention", () => {
  test.each(rules)("%s has the gradients of finite differences", async (rule) => {
    await check({ rule, batch: 2, time: 3, heads: [1, 1, 2], dk: 2, dv: 3 }, true);
  });

  test.each(["key", "constant", "constant key"] as const)("has those of decay by %s too", async (decay) => {
    await check({ rule: "gated_delta", batch: 2, time: 4, heads: [2, 1, 1], dk: 2, dv: 1, decay }, true);
  });

  const sizes: readonly Omit<Sizes, "rule">[] = [
    { batch: 1, time: 1, heads: [1, 1, 1], dk: 1, dv: 1 },
    { batch: 2, time: 1, heads: [1, 1, 3], dk: 7, dv: 37, decay: "key" },
    { batch: 3, time: 2, heads: [4, 1, 2], dk: 5, dv: 9 },
    { batch: 1, time: 63, heads: [2, 4, 4], dk: 9, dv: 17, decay: "key" },
    { batch: 2, time: 64, heads: [1, 1, 2], dk: 16, dv: 8 },
    { batch: 1, time: 65, heads: [3, 3, 3], dk: 18, dv: 33, decay: "constant" },
    { batch: 1, time: 129, heads: [1, 1, 1], dk: 33, dv: 12, decay: "constant key" },
  ];
  test.each(rules.flatMap((rule) => sizes.map((size) => ({ rule, ...size }))))(
    "runs alike everywhere: $rule, batch $batch, $time tokens, heads $heads, $dk keys, $dv values",
    async (size) => check(size),
  );

  // From hardly any decay to states that are gone after one token, and both in turn; and states that grow.
  const ranges: readonly (readonly [number, number])[] = [
    [-1e-6, 0],
    [-8, -2],
    [-100, -99],
    [-100, 0],
    [0, 0.3],
  ];
  test.each(
    (["gated", "gated_delta"] as const).flatMap((rule) =>
      (["head", "key"] as const).flatMap((decay) => ranges.map((range) => ({ rule, decay, range }))),
    ),
  )("keeps its accuracy with log decays of $range by $decay: $rule", async (kind) => {
    await check({ ...kind, batch: 1, time: 70, heads: [1, 1, 2], dk: 6, dv: 8 });
  });

  test.each(rules)("%s takes the gradient of the final state alone", async (rule) => {
    await check({ rule, batch: 2, time: 67, heads: [1, 1, 2], dk: 6, dv: 5 }, false, ["sT"]);
  });

  test.each(rules.flatMap((rule) => [1, 7, 64, 100].map((size) => ({ rule, size }))))(
    "$rule gives the same in chunks of $size tokens, each from the last one's state",
    ({ rule, size }) => {
      const time = 131;
      const { inputs, attributes } = drawn({ rule, batch: 2, time, heads: [2, 2, 2], dk: 11, dv: 20 });
      const [whole = [], last = []] = runLowered(linearAttentionOp, lower, inputs, attributes, { threads: 2 });
      const y = new Float32Array(whole.length);
      let state = inputs[5];
      for (let t = 0; t < time; t += size) {
        const count = Math.min(size, time - t);
        const slices = inputs.map((tensor, i) => {
          if (i === 5 || tensor === undefined) return i === 5 ? state : tensor;
          const width = tensor.shape.slice(2).reduce((n, d) => n * d, 1);
          const rows = [0, 1].flatMap((b) =>
            Array.from(tensor.data).slice((b * time + t) * width, (b * time + t + count) * width),
          );
          return { ...tensor, shape: [2, count, ...tensor.shape.slice(2)], data: rows };
        });
        // The state is updated in place, as in generation.
        const options = { threads: 2, inPlace: [[5, 1]] as const };
        const [part = [], next = []] = runLowered(linearAttentionOp, lower, slices, attributes, options);
        for (const b of [0, 1])
          y.set(Array.from(part).slice(b * count * 40, (b + 1) * count * 40), (b * time + t) * 40);
        state = { shape: [2, 2, 11, 20], dtype: "f32", data: next };
      }
      compare("y", y, whole, 2e-6);
      compare("final state", state?.data ?? [], last, 2e-6);
    },
  );

  test.each(builds)("%s: results that nobody reads are skipped, for any number of threads", (build) => {
    for (const rule of rules) {
      for (const time of [1, 70]) {
        const { inputs, attributes } = drawn({ rule, batch: 1, time, heads: [1, 1, 3], dk: 10, dv: 22 });
        const exact = reference(inputs.map(host), attributes);
        for (const threads of [1, 2, 3, 5]) {
          for (const last of [0, 1, 2]) {
            const wanted = (i: number): boolean => i <= last;
            const op = prepare(linearAttentionOp, lower, inputs, attributes, { build, threads, wanted });
            op.run();
            op.check();
            for (let i = 0; i <= last; i++) compare(`output ${i}`, op.output(i) ?? [], exact[i]?.data ?? [], 1e-5);
          }
        }
      }
    }
  });

  test.each(builds)("%s: each gradient is the same whatever others are wanted, for any number of threads", (build) => {
    for (const rule of rules) {
      const { inputs, attributes, random } = drawn({ rule, batch: 1, time: 70, heads: [2, 1, 4], dk: 10, dv: 12 });
      const starts = required(reference(inputs.map(host), attributes)[2]);
      const backward = [
        ...inputs.slice(0, 5),
        { ...starts, data: Float32Array.from(starts.data) },
        random([1, 70, 4, 12]),
        random([1, 4, 10, 12]),
      ];
      const exact = gradientReference(backward.map(host), attributes);
      for (const threads of [1, 2, 3, 5]) {
        for (let only = -1; only < 6; only++) {
          const exists = (i: number): boolean => (i !== 3 || hasDecay(rule)) && (i !== 4 || hasBeta(rule));
          const wanted = (i: number): boolean => exists(i) && (only < 0 || i === only);
          const op = prepare(linearAttentionGradientOp, lowerGradient, backward, attributes, {
            build,
            threads,
            wanted,
          });
          op.run();
          op.check();
          for (const [i, gradient] of exact.entries()) {
            if (wanted(i)) compare(`gradient ${i}`, op.output(i) ?? [], gradient.data, 1e-5);
          }
        }
      }
    }
  });

  test("gives the same bits again", () => {
    const { inputs, attributes } = drawn({ rule: "gated", batch: 2, time: 100, heads: [1, 1, 4], dk: 16, dv: 16 });
    const run = () => runLowered(linearAttentionOp, lower, inputs, attributes, { threads: 2 });
    expect(run()).toEqual(run());
  });

  test("lets NaN through", () => {
    const { inputs, attributes } = drawn({ rule: "gated", batch: 1, time: 40, heads: [1, 1, 1], dk: 4, dv: 8 });
    const decay = required(inputs[3]);
    const data = Float32Array.from(decay.data);
    data[20] = Number.NaN;
    const [y] = runLowered(linearAttentionOp, lower, inputs.with(3, { ...decay, data }), attributes, { threads: 1 });
    expect(Array.from(y ?? []).slice(20 * 8)).toEqual(Array(20 * 8).fill(Number.NaN));
  });

  test("names what does not fit", () => {
    const x = (...shape: number[]): Tensor => input("x", shape);
    const q = x(1, 4, 2, 6);
    const v = x(1, 4, 2, 3);
    expect(() => linearAttention("linear", x(1, 4, 6), q, v)).toThrow(
      /q must be f32 \[B, T, heads, width\], not f32 \[1, 4, 6\]/,
    );
    expect(() => linearAttention("linear", q, x(1, 4, 2, 5), v)).toThrow(/linear_attention: q and k differ in width/);
    expect(() => linearAttention("linear", q, x(1, 5, 2, 6), v)).toThrow(/batch and time differ: q \[1, 4, 2, 6\]/);
    expect(() => linearAttention("linear", q, x(1, 4, 3, 6), v)).toThrow(
      /2 value heads are not a multiple of 3 key heads/,
    );
    expect(() => linearAttention("linear", x(1, 4, 3, 6), q, v)).toThrow(
      /3 query heads neither divide nor are a multiple of 2/,
    );
    expect(() => linearAttention("gated", q, q, v)).toThrow(/rule gated needs decay/);
    expect(() => linearAttention("linear", q, q, v, { decay: x(1, 4, 2) })).toThrow(/rule linear takes no decay/);
    expect(() => linearAttention("delta", q, q, v)).toThrow(/rule delta needs beta/);
    expect(() => linearAttention("gated", q, q, v, { decay: x(1, 4, 3) })).toThrow(/decay \[1, 4, 3\] is neither/);
    expect(() => linearAttention("delta", q, q, v, { beta: x(1, 1, 2) })).toThrow(
      /beta \[1, 1, 2\] is not \[1, 4, 2\]/,
    );
    expect(() => linearAttention("linear", q, q, v, { initialState: x(1, 2, 3, 6) })).toThrow(GraphError);
  });
});

const host = (tensor: HostInput | undefined): HostTensor | undefined =>
  tensor && { shape: tensor.shape, dtype: tensor.dtype, data: Float64Array.from(tensor.data) };

/** Random inputs in the order of the op's, and its attributes. */
function drawn(sizes: Sizes) {
  const draw = generator(5);
  const specs = inputsOf(sizes);
  const random = (shape: readonly number[], low = -1, high = 1): HostInput => {
    const size = shape.reduce((n, d) => n * d, 1);
    return { shape, dtype: "f32", data: Float32Array.from({ length: size }, () => low + (high - low) * draw()) };
  };
  const inputs = ["q", "k", "v", "decay", "beta", "s0"].map((name) => {
    const spec = specs[name];
    return spec && random(spec.shape as readonly number[], spec.low, spec.high);
  });
  const attributes: LinearAttentionAttributes = { rule: sizes.rule, scale: 0.7 };
  return { inputs, attributes, random };
}
