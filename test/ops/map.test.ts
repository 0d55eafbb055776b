// map on the wasm runtime: expressions against their evaluation in JavaScript, operands of every broadcast shape.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ElementFunction, Expression } from "../../src/graph/expression.ts";
import * as ex from "../../src/graph/expression.ts";
import { sizeOf } from "../../src/graph/shape.ts";
import { compileExpression } from "../../src/ops/map/bytecode.ts";
import { collapse } from "../../src/ops/map/collapse.ts";
import { type MapAttributes, mapOp } from "../../src/ops/map/op.ts";
import { reference } from "../../src/ops/map/reference.ts";
import { lower } from "../../src/ops/map/wasm.ts";
import { expectClose, numbers, wasmEngines } from "./evaluate.ts";
import { type HostInput, type RunOptions, runLowered } from "./lowered.ts";

const inputsOf = (shapes: readonly (readonly number[])[]): HostInput[] =>
  shapes.map((shape, i) => ({ shape, dtype: "f32", data: numbers(sizeOf(shape), i + 3) }));

function run(inputs: readonly HostInput[], expression: Expression, options: RunOptions = {}): Float32Array {
  const [y] = runLowered<MapAttributes>(mapOp, lower, inputs, { expression }, options);
  return y instanceof Float32Array ? y : new Float32Array();
}

function exact(inputs: readonly HostInput[], expression: Expression): ArrayLike<number> {
  const hosts = inputs.map((value) => ({ ...value, data: Float64Array.from(value.data) }));
  return reference(hosts, { expression })[0]?.data ?? [];
}

function check(shapes: readonly (readonly number[])[], expression: Expression, tolerance = 1e-5): void {
  const inputs = inputsOf(shapes);
  const expected = exact(inputs, expression);
  for (const { name, wasm } of [...wasmEngines, { name: "3 threads", wasm: { build: "simd", threads: 3 } as const }]) {
    expectClose(
      `${name}: ${ex.formatExpression(expression)} of ${JSON.stringify(shapes)}`,
      run(inputs, expression, wasm),
      expected,
      tolerance,
    );
  }
}

const [x, y, z] = [ex.input(0), ex.input(1), ex.input(2)];
const three = ex.add(ex.mul(x, y), z);

describe("broadcasting", () => {
  test.each([
    ["nothing", [[7], [7], [7]]],
    ["a scalar", [[5, 33], [], [5, 33]]],
    ["a long bias", [[3, 5, 200], [200], [3, 5, 200]]],
    ["a short bias", [[3, 50, 20], [20], [1, 1, 20]]],
    ["a bias of three", [[3, 50, 3], [3], []]],
    [
      "one value per long row",
      [
        [3, 5, 200],
        [3, 5, 1],
        [1, 5, 1],
      ],
    ],
    [
      "one value per short row",
      [
        [3, 50, 20],
        [3, 50, 1],
        [3, 1, 1],
      ],
    ],
    [
      "one value per head",
      [
        [2, 50, 6, 64],
        [6, 1],
        [2, 50, 6, 1],
      ],
    ],
    [
      "rows against columns",
      [
        [33, 1],
        [1, 21],
        [33, 21],
      ],
    ],
    ["long rows against columns", [[5, 1], [1, 321], []]],
    [
      "a stretched middle axis",
      [
        [5, 1, 131],
        [5, 7, 131],
        [1, 7, 131],
      ],
    ],
    [
      "a stretched middle axis of short rows",
      [
        [5, 1, 13],
        [5, 7, 13],
        [1, 7, 13],
      ],
    ],
    ["more than a block", [[5000], [5000], [1]]],
    ["one element", [[1], [], [1, 1]]],
    [
      "a stretched scalar table",
      [
        [2, 1, 3, 1],
        [1, 5, 1, 7],
        [2, 1, 1, 7],
      ],
    ],
  ])("%s", (_, shapes) => {
    check(shapes, three);
  });

  test("any shapes that broadcast", async () => {
    const dims = fc.array(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 150 })), {
      minLength: 0,
      maxLength: 4,
    });
    const shapes = dims
      .filter((shape) => sizeOf(shape) <= 20000)
      .chain((shape) =>
        fc.tuple(
          ...[0, 1, 2].map(() =>
            fc
              .tuple(fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }), fc.integer({ min: 0, max: 4 }))
              .map(([ones, skipped]) =>
                shape.map((dim, axis) => (ones[axis] ? 1 : dim)).slice(Math.min(skipped, shape.length)),
              ),
          ),
        ),
      );
    fc.assert(
      fc.property(shapes, fc.integer({ min: 1, max: 4 }), (all, threads) => {
        const inputs = inputsOf(all);
        expectClose(JSON.stringify(all), run(inputs, three, { threads }), exact(inputs, three), 1e-6);
      }),
      { numRuns: 200 },
    );
  });

  test("axes that every operand walks alike become one", async () => {
    expect(collapse([4, 5, 6], [[4, 5, 6], []])).toEqual({ sizes: [120], strides: [[1], [0]] });
    expect(collapse([4, 5, 6], [[4, 5, 6], [6]])).toEqual({
      sizes: [6, 20],
      strides: [
        [1, 6],
        [1, 0],
      ],
    });
    expect(
      collapse(
        [4, 5, 6],
        [
          [4, 5, 6],
          [4, 1, 1],
        ],
      ),
    ).toEqual({
      sizes: [30, 4],
      strides: [
        [1, 30],
        [0, 1],
      ],
    });
  });
});

describe("expressions", () => {
  const unary = (Object.keys(ex.functions) as ElementFunction[]).filter((fn) => ex.functions[fn].arity === 1);
  const binary = (Object.keys(ex.functions) as ElementFunction[]).filter((fn) => ex.functions[fn].arity === 2);

  test.each(unary)("%s of any length", async (fn) => {
    for (const size of [1, 4, 7, 300])
      check([[size]], ex.call(fn, fn === "sqrt" || fn === "log" ? ex.add(ex.square(x), ex.literal(0.1)) : x));
  });
  test.each(binary)("%s with either operand a constant, a scalar or a row", async (fn) => {
    for (const shapes of [
      [[131], [131]],
      [[131], []],
      [[], [131]],
      [
        [3, 40],
        [3, 1],
      ],
    ])
      check(shapes, ex.call(fn, x, y));
    check([[131]], ex.call(fn, x, ex.literal(1.5)));
    check([[131]], ex.call(fn, ex.literal(1.5), x));
  });
  test("where chooses by zero or not", async () => {
    check([[131], [131], []], ex.call("where", ex.call("greater", x, ex.literal(0.3)), y, z));
    check([[131]], ex.call("where", ex.literal(1), x, ex.literal(7)));
  });
  test("a constant, an input and an input of weight zero", async () => {
    check([[5]], ex.literal(3));
    check([[2, 70], [70]], y);
    check([[9], [9]], ex.call("where", ex.call("greater", x, x), x, y));
  });
  test.each([
    ["silu(x) y", ex.mul(ex.silu(x), y)],
    ["its derivative", ex.mul(ex.derivative(ex.mul(ex.silu(x), y), 0), z)],
    ["exact gelu", ex.gelu(x)],
    ["its derivative", ex.mul(ex.derivative(ex.gelu(x), 0), y)],
    ["gelu by tanh", ex.mul(ex.geluTanh(x), y)],
    ["its derivative", ex.mul(ex.derivative(ex.geluTanh(x), 0), y)],
    ["squared relu", ex.mul(ex.square(ex.relu(x)), y)],
    ["c - a b", ex.sub(z, ex.mul(x, y))],
  ])("%s", (_, expression) => {
    check([[3, 131], [3, 131], [131]], expression);
  });

  test("any expression", async () => {
    const { tree } = fc.letrec<{ tree: Expression }>((tie) => ({
      tree: fc.oneof(
        { depthSize: "small", withCrossShrink: true },
        fc.integer({ min: 0, max: 2 }).map(ex.input),
        fc.constantFrom(0, 1, -1, 0.5, 2).map(ex.literal),
        fc
          .tuple(fc.constantFrom("add", "sub", "mul", "max", "min", "greater"), tie("tree"), tie("tree"))
          .map(([fn, a, b]) => ex.call(fn as ElementFunction, a, b)),
        fc
          .tuple(fc.constantFrom("neg", "abs", "tanh", "sigmoid", "erf", "sin"), tie("tree"))
          .map(([fn, a]) => ex.call(fn as ElementFunction, a)),
        tie("tree").map((a) => ex.silu(a)),
        fc
          .tuple(tie("tree"), tie("tree"), tie("tree"))
          .map(([c, a, b]) => ex.call("where", ex.call("greater", c, ex.literal(0.25)), a, b)),
      ),
    }));
    // Multiples of 1/4 meet in comparisons on both sides alike, whatever the rounding.
    const inputs = [[37], [3, 37], [3, 1]].map((shape, i): HostInput => {
      const data = numbers(sizeOf(shape), i).map((v) => Math.round(v * 4) / 4);
      return { shape, dtype: "f32", data };
    });
    fc.assert(
      fc.property(tree, fc.constantFrom(...wasmEngines), (expression, { wasm }) => {
        const all = ex.add(expression, ex.mul(ex.literal(0.125), ex.add(x, ex.add(y, z))));
        const expected = exact(inputs, all);
        const actual = run(inputs, all, wasm);
        // A comparison of two nearly equal transcendental values may fall either way: few elements may differ.
        const wrong = Array.from(actual).filter(
          (a, i) => !(Math.abs(a - (expected[i] ?? Number.NaN)) <= 1e-4 * (1 + Math.abs(expected[i] ?? 0))),
        );
        expect(wrong.length, ex.formatExpression(all)).toBeLessThanOrEqual(actual.length / 20);
      }),
      { numRuns: 300 },
    );
  });

  test("infinities and NaN go through as in JavaScript", async () => {
    const data = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 0, 1e30];
    const inputs: HostInput[] = [{ shape: [5], dtype: "f32", data }];
    for (const fn of ["exp", "sigmoid", "tanh", "softplus", "erf", "abs", "neg"] as const) {
      const expression = ex.call(fn, x);
      expect(Array.from(run(inputs, expression)), fn).toEqual(Array.from(exact(inputs, expression), Math.fround));
    }
    expect(Array.from(run(inputs, ex.call("max", x, ex.literal(0))))).toEqual([
      Number.POSITIVE_INFINITY,
      0,
      Number.NaN,
      0,
      Math.fround(1e30),
    ]);
  });
});

test("the output may overwrite an input of its own shape", async () => {
  const inputs = inputsOf([[3, 500], [500], [3, 500]]);
  const expression = ex.add(ex.mul(ex.silu(ex.mul(x, y)), x), ex.mul(z, x));
  const expected = run(inputs, expression);
  for (const input of [0, 2]) expect(run(inputs, expression, { inPlace: [[input, 0]], threads: 2 })).toEqual(expected);
});

describe("bytecode", () => {
  const code = (expression: Expression): string[] => compileExpression(expression).instructions.map((i) => i.opcode);

  test("fuses gates and multiply-adds", async () => {
    expect(code(ex.mul(ex.silu(x), y))).toEqual(["silu_mul"]);
    expect(code(ex.add(z, ex.mul(x, y)))).toEqual(["mul_add"]);
    expect(code(ex.sub(z, ex.mul(x, y)))).toEqual(["mul_sub_from"]);
    expect(code(ex.add(x, ex.neg(y)))).toEqual(["sub"]);
    expect(code(ex.mul(x, ex.mul(y, z)))).toEqual(["mul_mul"]);
    expect(code(ex.mul(ex.derivative(ex.silu(x), 0), y))).toEqual(["silu_gradient", "mul"]);
  });
  test("computes a shared subexpression once", async () => {
    const s = (): Expression => ex.sigmoid(ex.add(x, y));
    expect(code(ex.add(ex.derivative(ex.silu(x), 0), ex.sigmoid(x))).filter((op) => op === "sigmoid")).toHaveLength(1);
    expect(code(ex.mul(s(), ex.sub(ex.literal(1), s()))).filter((op) => op === "sigmoid")).toHaveLength(1);
    expect(code(ex.mul(ex.add(x, y), ex.add(y, x)))).toEqual(["add", "mul"]);
  });
  test("drops what has no effect", async () => {
    expect(code(ex.call("where", ex.call("greater", x, x), x, y))).toEqual(["move"]);
  });
  test("a chain needs one register, a balanced tree of depth d needs d", async () => {
    let chain: Expression = x;
    for (let i = 0; i < 20; i++) chain = ex.call("max", ex.tanh(chain), y);
    expect(compileExpression(chain).registers).toBe(1);
    const tree = (depth: number, i = 0): Expression =>
      depth === 0 ? ex.input(i) : ex.call("max", tree(depth - 1, 2 * i), tree(depth - 1, 2 * i + 1));
    expect(compileExpression(tree(5)).registers).toBeLessThanOrEqual(5);
  });
});
