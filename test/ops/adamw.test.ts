// adamw against an independent loop over steps.
import { describe, expect, test } from "vitest";
import * as ex from "../../src/graph/expression.ts";
import { input } from "../../src/graph/leaves.ts";
import { adamw, adamwOp } from "../../src/ops/adamw/op.ts";
import { lower } from "../../src/ops/adamw/wasm.ts";
import { map } from "../../src/ops/map/op.ts";
import { engines, evaluate, expectClose, gpuEngines, numbers } from "./evaluate.ts";
import { expectAgreement, expectCut } from "./gpu.ts";
import { type HostInput, runLowered } from "./lowered.ts";

const attributes = { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.1 };
const tensor = (data: ArrayLike<number>, shape: readonly number[] = [data.length]): HostInput => ({
  shape,
  dtype: "f32",
  data,
});

/** Kingma & Ba's Adam with bias-corrected moments and the parameter decayed apart, as PyTorch's documentation writes it. */
function adamLoop(start: ArrayLike<number>, gradients: readonly Float32Array[], rate: number, scale: number): number[] {
  return Array.from(start, (initial, i) => {
    let [theta, m, v] = [initial, 0, 0];
    for (const [step, gradient] of gradients.entries()) {
      const g = scale * (gradient[i] ?? 0);
      theta -= rate * attributes.weightDecay * theta;
      m += (1 - attributes.beta1) * (g - m);
      v += (1 - attributes.beta2) * (g * g - v);
      const mHat = m / (1 - attributes.beta1 ** (step + 1));
      const vHat = v / (1 - attributes.beta2 ** (step + 1));
      theta -= (rate * mHat) / (Math.sqrt(vHat) + attributes.eps);
    }
    return theta;
  });
}

const rate = 0.01;
const hyperAt = (step: number): HostInput =>
  tensor([rate, 1 - attributes.beta1 ** step, 1 - attributes.beta2 ** step, 0]);

test.each(engines)("twenty steps follow AdamW on $name", async (engine) => {
  for (const size of [1, 3, 4, 21, 130]) {
    const leaves = ["parameter", "gradient", "m", "v"].map((name) => input(name, [size]));
    const [parameter, gradient, m, v] = leaves;
    if (!parameter || !gradient || !m || !v) throw new Error("missing");
    const step = adamw(
      { parameter, gradient, m, v, hyper: input("hyper", [4]), gradientScale: input("scale", []) },
      attributes,
    );
    const start = numbers(size);
    const gradients = Array.from({ length: 20 }, (_, i) => numbers(size, 100 + i).map((g) => g * 0.01));
    let state: ArrayLike<number>[] = [start, new Float32Array(size), new Float32Array(size)];
    for (const [i, g] of gradients.entries()) {
      const [p = [], first = [], second = []] = state;
      const feed = new Map(
        Object.entries({ parameter: p, m: first, v: second, gradient: g }).map(([name, data]) => [name, tensor(data)]),
      );
      feed.set("hyper", hyperAt(i + 1)).set("scale", tensor([0.5], []));
      state = await evaluate([step.parameter, step.m, step.v], feed, engine);
    }
    expectClose("parameter", state[0] ?? [], adamLoop(start, gradients, rate, 0.5), 1e-5);
  }
});

test("it runs in place, and moments that nothing reads are not written", async () => {
  const data = [numbers(21), numbers(21, 2), numbers(21, 3), numbers(21, 4).map(Math.abs)].map((d) => tensor(d));
  const inputs = [...data, hyperAt(3), undefined];
  const apart = runLowered(adamwOp, lower, inputs, attributes, { threads: 2 });
  const inPlace = runLowered(adamwOp, lower, inputs, attributes, {
    threads: 2,
    inPlace: [
      [0, 0],
      [2, 1],
      [3, 2],
    ],
  });
  expect(inPlace).toEqual(apart);
  const [only, ...others] = runLowered(adamwOp, lower, inputs, attributes, { wanted: (i) => i === 0 });
  expect(only).toEqual(apart[0]);
  expect(others).toEqual([undefined, undefined]);
});

describe("on the GPU", () => {
  const shapes = (size: number) => ["parameter", "gradient", "m", "v"].map((name) => ({ name, shape: [size] }));
  const feedFor = (size: number) => {
    const feed = new Map(shapes(size).map(({ name }, i) => [name, tensor(numbers(size, i).map(Math.abs))]));
    return feed.set("hyper", hyperAt(3));
  };
  /** The step on the inputs, or on copies of them that die with it. */
  const stepOn = (size: number, copied: boolean) => {
    const leaf = (name: string) => {
      const x = input(name, [size]);
      return copied ? map([x], ex.mul(ex.literal(0.5), ex.input(0))) : x;
    };
    return adamw(
      {
        ...{ parameter: leaf("parameter"), gradient: leaf("gradient"), m: leaf("m"), v: leaf("v") },
        hyper: input("hyper", [4]),
      },
      attributes,
    );
  };

  test.each([false, true])("with the moments or without, over what dies with it: %s", async (copied) => {
    for (const size of [7, 1024]) {
      const { parameter, m, v } = stepOn(size, copied);
      await expectAgreement(gpuEngines, [parameter, m, v], feedFor(size));
      await expectAgreement(gpuEngines, [parameter], feedFor(size));
    }
  });

  test("parameters larger than a binding are cut", async () => {
    const { parameter, m, v } = stepOn(20004, false);
    await expectCut([parameter, m, v], feedFor(20004));
  });
});

test("inputs that do not fit are named", async () => {
  const [a, b, hyper] = [input("a", [3]), input("b", [4]), input("h", [4])];
  expect(() => adamw({ parameter: a, gradient: b, m: a, v: a, hyper }, attributes)).toThrow(
    /adamw: gradient is \[4\], must be \[3\]/,
  );
  expect(() => adamw({ parameter: a, gradient: a, m: a, v: a, hyper: a }, attributes)).toThrow(/hyper must be \[4\]/);
  expect(() => adamw({ parameter: a, gradient: a, m: a, v: a, hyper }, { ...attributes, beta1: 1 })).toThrow(
    /beta1 is 1/,
  );
});
