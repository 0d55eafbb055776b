// The vector functions of kernels/common/math.as.ts against float64, over dense samples of their whole domains.
import { describe, expect, test } from "vitest";
import { type Build, builds, instantiate } from "./instance.ts";

const bits = new Uint32Array(1);
const asFloat = new Float32Array(bits.buffer);

/** About a million f32 between low and high: every `stride`-th bit pattern of both signs, so all magnitudes alike. */
function patterns(low: number, high: number, stride = 4093): Float32Array {
  const values: number[] = [];
  for (let pattern = 0; pattern < 2 ** 32; pattern += stride) {
    bits[0] = pattern;
    const value = asFloat[0] as number;
    if (value >= low && value <= high) values.push(value);
  }
  return Float32Array.from(values);
}

/** Evenly spaced values. */
function even(low: number, high: number, count = 500_000): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => low + ((high - low) * i) / (count - 1));
}

function evaluate(build: Build, name: string, x: Float32Array): Float32Array {
  const y = new Float32Array(x.length).fill(Number.NaN);
  instantiate(build).run(`math_${name}`, [x, y, x.length], 2);
  return y;
}

type Measure = (actual: number, exact: number, x: number) => number;

/** Distance in units of the f32 spacing at the exact value. */
const ulp: Measure = (actual, exact) => {
  if (Object.is(actual, Math.fround(exact))) return 0;
  const exponent = Math.max(-126, Math.floor(Math.log2(Math.abs(exact))));
  return Math.abs(actual - exact) / 2 ** (exponent - 23);
};
const absolute: Measure = (actual, exact) => Math.abs(actual - exact);
const relative: Measure = (actual, exact) => Math.abs(actual - exact) / Math.abs(exact);

function worst(build: Build, name: string, x: Float32Array, f: (x: number) => number, measure: Measure) {
  const y = evaluate(build, name, x);
  let error = 0;
  let at = 0;
  for (let i = 0; i < x.length; i++) {
    const e = measure(y[i] as number, f(x[i] as number), x[i] as number);
    if (!(e <= error)) [error, at] = [e, x[i] as number];
  }
  if (process.env.SHOW_ERRORS) console.log(`${build} ${name}: ${error.toPrecision(3)} at ${at}`);
  return { error, at };
}

/** erf in float64: a series of positive terms. */
function erf(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; n < 300 && Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return Math.abs(x) > 6 ? Math.sign(x) : (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const cdf = (x: number) => (1 + erf(x / Math.SQRT2)) / 2;
const density = (x: number) => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
const root = Math.SQRT1_2;

interface Case {
  readonly name: string;
  readonly x: Float32Array;
  readonly f: (x: number) => number;
  readonly measure: Measure;
  readonly bound: number;
}

const wide = patterns(-1e30, 1e30);
const moderate = patterns(-86, 86);
const cases: readonly Case[] = [
  { name: "exp", x: patterns(-86.6, 88.72), f: Math.exp, measure: ulp, bound: 1.5 },
  { name: "exp", x: even(-86.6, 88.72), f: Math.exp, measure: ulp, bound: 1.5 },
  { name: "exp_non_positive", x: even(-86.6, 88), f: Math.exp, measure: ulp, bound: 1.5 },
  { name: "exp2", x: even(-125, 127.99), f: (x) => 2 ** x, measure: ulp, bound: 1.5 },
  { name: "exp2", x: patterns(-125, 127.99), f: (x) => 2 ** x, measure: ulp, bound: 1.5 },
  { name: "exp2_non_positive", x: even(-125, 127), f: (x) => 2 ** x, measure: relative, bound: 2.3e-7 },
  { name: "log", x: patterns(1.2e-38, 3.4e38), f: Math.log, measure: ulp, bound: 1.5 },
  { name: "log", x: even(0.5, 2), f: Math.log, measure: ulp, bound: 1.5 },
  { name: "log1p", x: patterns(-0.9999999, 3.4e38), f: Math.log1p, measure: ulp, bound: 1.6 },
  { name: "log1p", x: even(-0.99, 3), f: Math.log1p, measure: ulp, bound: 1.6 },
  { name: "softplus", x: patterns(-86.6, 1e30), f: softplus, measure: ulp, bound: 3.5 },
  { name: "softplus", x: even(-86.6, 30), f: softplus, measure: ulp, bound: 3.5 },
  { name: "sigmoid", x: moderate, f: sigmoid, measure: ulp, bound: 2.5 },
  { name: "sigmoid", x: even(-86, 40), f: sigmoid, measure: ulp, bound: 2.5 },
  { name: "sigmoid_gradient", x: moderate, f: (x) => sigmoid(x) * sigmoid(-x), measure: absolute, bound: 1.2e-7 },
  { name: "silu", x: moderate, f: (x) => x * sigmoid(x), measure: ulp, bound: 3 },
  { name: "silu", x: even(-86, 40), f: (x) => x * sigmoid(x), measure: ulp, bound: 3 },
  {
    name: "silu_gradient",
    x: even(-40, 40),
    f: (x) => sigmoid(x) * (1 + x * sigmoid(-x)),
    measure: absolute,
    bound: 1.1e-6,
  },
  { name: "tanh", x: wide, f: Math.tanh, measure: ulp, bound: 2 },
  { name: "tanh", x: even(-10, 10), f: Math.tanh, measure: ulp, bound: 2 },
  { name: "erf", x: patterns(-1e30, 1e30, 40961), f: erf, measure: ulp, bound: 2 },
  { name: "erf", x: even(-5, 5, 100_000), f: erf, measure: ulp, bound: 2 },
  {
    name: "gelu",
    x: even(-12, 12, 100_000),
    f: (x) => x * cdf(x),
    measure: (y, exact, x) => Math.abs(y - exact) / Math.abs(x),
    bound: 1.2e-7,
  },
  {
    name: "gelu_gradient",
    x: even(-12, 12, 100_000),
    f: (x) => cdf(x) + x * density(x),
    measure: absolute,
    bound: 3e-7,
  },
  // Near a zero of the function the bound is on the absolute error of the reduction.
  { name: "sin", x: even(-20, 20), f: Math.sin, measure: ulp, bound: 1.6 },
  { name: "sin", x: patterns(-(2 ** 18), 2 ** 18), f: Math.sin, measure: ulpOr(4e-11), bound: 1.6 },
  { name: "sin", x: even(-(2 ** 18), 2 ** 18), f: Math.sin, measure: ulpOr(4e-11), bound: 1.6 },
  { name: "cos", x: even(-20, 20), f: Math.cos, measure: ulpOr(4e-11), bound: 1.6 },
  { name: "cos", x: even(-(2 ** 18), 2 ** 18), f: Math.cos, measure: ulpOr(4e-11), bound: 1.6 },
];

function ulpOr(tolerance: number): Measure {
  return (y, exact, x) => (Math.abs(y - exact) <= tolerance ? 0 : ulp(y, exact, x));
}

describe.each(builds)("the %s build", (build) => {
  test.each(cases)("computes $name to within $bound", ({ name, x, f, measure, bound }) => {
    const { error, at } = worst(build, name, x, f, measure);
    expect(error, `at ${at}`).toBeLessThanOrEqual(bound);
  });

  test.each([
    ["exp", [-Infinity, -200, 0, 89, Infinity, Number.NaN], [0, 0, 1, Infinity, Infinity, Number.NaN]],
    ["exp_non_positive", [-Infinity, -200, 0, -0, Number.NaN], [0, 0, 1, 1, Number.NaN]],
    ["exp2", [-Infinity, -126, 0, 3, 128, 1e9, Number.NaN], [0, 0, 1, 8, Infinity, Infinity, Number.NaN]],
    ["exp2_non_positive", [-Infinity, -1e30, 0, -3, Number.NaN], [0, 0, 1, 0.125, Number.NaN]],
    ["log", [0, 1, Infinity, -1, -Infinity, Number.NaN], [-Infinity, 0, Infinity, Number.NaN, Number.NaN, Number.NaN]],
    ["log1p", [-1, 0, Infinity, -1.5, Number.NaN], [-Infinity, 0, Infinity, Number.NaN, Number.NaN]],
    ["softplus", [-Infinity, -200, 1e30, Infinity, Number.NaN], [0, 0, 1e30, Infinity, Number.NaN]],
    ["sigmoid", [-Infinity, -200, 0, 200, Infinity, Number.NaN], [0, 0, 0.5, 1, 1, Number.NaN]],
    ["silu", [-200, 0, 200, Infinity, Number.NaN], [-0, 0, 200, Infinity, Number.NaN]],
    ["tanh", [-Infinity, 0, Infinity, Number.NaN], [-1, 0, 1, Number.NaN]],
    ["erf", [-Infinity, -0, 0, Infinity, Number.NaN], [-1, -0, 0, 1, Number.NaN]],
    ["sin", [0, Number.NaN], [0, Number.NaN]],
    ["cos", [0, Number.NaN], [1, Number.NaN]],
  ])("gives %s its limits, and keeps NaN", (name, x, y) => {
    expect([...evaluate(build, name, Float32Array.from(x))]).toEqual([...Float32Array.from(y)]);
  });
});

test("the square root of one half is where log changes exponent without a step", () => {
  const x = even(root - 1e-6, root + 1e-6, 64);
  expect(worst("simd", "log", x, Math.log, ulp).error).toBeLessThanOrEqual(1.5);
});
