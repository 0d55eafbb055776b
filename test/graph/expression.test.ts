// Elementwise expressions: values, derivatives, composition.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ElementFunction, Expression } from "../../src/graph/expression.ts";
import * as ex from "../../src/graph/expression.ts";

const smooth: readonly ElementFunction[] = [
  "add",
  "sub",
  "mul",
  "neg",
  "exp",
  "tanh",
  "sigmoid",
  "softplus",
  "erf",
  "sin",
  "cos",
];

const expressions = fc.letrec<{ tree: Expression }>((tie) => ({
  tree: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.nat(1).map(ex.input),
    fc.double({ min: -2, max: 2, noNaN: true }).map(ex.literal),
    fc
      .tuple(fc.constantFrom(...smooth), tie("tree"), tie("tree"))
      .map(([fn, a, b]) => ex.call(fn, ...[a, b].slice(0, ex.functions[fn].arity))),
  ),
})).tree;
const point = fc.double({ min: -1.5, max: 1.5, noNaN: true });

describe("expressions", () => {
  it("differentiate as finite differences do", () => {
    fc.assert(
      fc.property(expressions, point, point, (expression, a, b) => {
        const h = 1e-5;
        const at = (x: number): number => ex.evaluate(expression, [x, b]);
        const numeric = (at(a + h) - at(a - h)) / (2 * h);
        const curvature = Math.abs(at(a + h) - 2 * at(a) + at(a - h)) / h ** 2;
        if (!Number.isFinite(numeric) || curvature > 1e4 || Math.abs(numeric) > 1e4) return;
        const exact = ex.evaluate(ex.derivative(expression, 0), [a, b]);
        expect(Math.abs(exact - numeric)).toBeLessThan(1e-3 * Math.max(1, Math.abs(exact)));
      }),
    );
  });

  it("mean the same after substitution", () => {
    fc.assert(
      fc.property(expressions, expressions, point, point, (outer, inner, a, b) => {
        const composed = ex.evaluate(ex.substitute(outer, [inner, ex.input(1)]), [a, b]);
        const direct = ex.evaluate(outer, [ex.evaluate(inner, [a, b]), b]);
        if (Number.isFinite(direct))
          expect(Math.abs(composed - direct)).toBeLessThan(1e-9 * Math.max(1, Math.abs(direct)));
      }),
    );
  });

  it("fold constants and drop neutral elements", () => {
    const x = ex.input(0);
    expect(ex.add(x, ex.literal(0))).toBe(x);
    expect(ex.mul(ex.literal(1), x)).toBe(x);
    expect(ex.mul(x, ex.literal(0))).toEqual(ex.literal(0));
    expect(ex.exp(ex.literal(0))).toEqual(ex.literal(1));
    expect(ex.neg(ex.neg(x))).toBe(x);
    expect(ex.formatExpression(ex.silu(x))).toBe("(x0 * sigmoid(x0))");
  });

  it.each([
    [0, 0],
    [0.5, 0.5204998778130465],
    [1.9, 0.9927904292352575],
    [2.1, 0.997020533343667],
    [-3, -0.9999779095030014],
    [7, 1],
  ])("erf(%f) is right to 1e-14", (x, value) => {
    expect(Math.abs(ex.erfValue(x) - value)).toBeLessThan(1e-14);
  });
});
