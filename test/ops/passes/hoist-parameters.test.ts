// Parts of expressions that read stored values alone become maps of their own; the numbers stay as they were.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as ex from "../../../src/graph/expression.ts";
import { leafName, makeGraph } from "../../../src/graph/graph.ts";
import { constant, input, parameter } from "../../../src/graph/leaves.ts";
import type { Graph, Tensor } from "../../../src/graph/types.ts";
import { type MapAttributes, map } from "../../../src/ops/map/op.ts";
import { foldParameters } from "../../../src/ops/passes/fold-parameters.ts";
import { hoistParameters } from "../../../src/ops/passes/hoist-parameters.ts";
import { compute } from "./values.ts";

const inputs = [
  input("x", ["B", "T", 3]),
  parameter("w", [3], { kind: "zeros" }),
  constant([0.5, -2, 0.25]),
  input("z", ["B", "T", 1]),
];
const [x, w, c, z] = inputs.map((_, i) => ex.input(i)) as [ex.Expression, ex.Expression, ex.Expression, ex.Expression];
const graphOf = (expression: ex.Expression): Graph =>
  makeGraph({ outputs: [{ name: "y", tensor: map(inputs, expression) }] });

/** The expressions of the maps, each input under the name of its leaf, `$` for what another map gives. */
function expressions(graph: Graph): string[] {
  const nameOf = ({ node }: Tensor): string =>
    node.op.leaf === undefined ? "$" : node.op.leaf === "constant" ? "c" : leafName(node);
  return graph.nodes
    .filter(({ op }) => op.name === "map")
    .map(({ attributes, inputs: read }) =>
      ex
        .formatExpression((attributes as MapAttributes).expression)
        .replace(/x(\d+)/g, (_, i) => nameOf(read[Number(i)] as Tensor)),
    );
}

describe("hoisting what reads stored values alone", () => {
  it.each<{ what: string; expression: ex.Expression; maps: readonly string[] }>([
    { what: "a rate", expression: ex.mul(x, ex.neg(ex.exp(w))), maps: ["neg(exp(w))", "(x * $)"] },
    { what: "the sign of a product", expression: ex.neg(ex.mul(x, ex.exp(w))), maps: ["neg(exp(w))", "(x * $)"] },
    { what: "it on the other side", expression: ex.neg(ex.mul(w, ex.exp(x))), maps: ["neg(w)", "($ * exp(x))"] },
    { what: "constants", expression: ex.add(x, ex.mul(w, c)), maps: ["(w * c)", "(x + $)"] },
    {
      what: "several parts",
      expression: ex.add(ex.mul(x, ex.exp(w)), ex.mul(z, ex.tanh(c))),
      maps: ["exp(w)", "tanh(c)", "((x * $) + (z * $))"],
    },
  ])("takes out $what", ({ expression, maps }) => {
    const graph = graphOf(expression);
    const hoisted = hoistParameters(graph);
    expect(expressions(hoisted)).toEqual(maps);
    expect(compute(hoisted)).toEqual(compute(graph));
  });

  it.each<{ what: string; expression: ex.Expression }>([
    { what: "a weight as it is", expression: ex.mul(x, w) },
    { what: "numbers in the expression", expression: ex.mul(ex.literal(2), ex.exp(x)) },
    { what: "what reads no stored value", expression: ex.neg(ex.mul(x, z)) },
    { what: "what reads nothing else, which is folded whole", expression: ex.neg(ex.mul(w, ex.exp(c))) },
  ])("leaves alone $what", ({ expression }) => {
    const graph = graphOf(expression);
    expect(hoistParameters(graph).nodes).toEqual(graph.nodes);
  });

  it("makes them something that is computed once", () => {
    const graph = graphOf(ex.mul(x, ex.neg(ex.exp(w))));
    expect(foldParameters(graph).prologue).toBeUndefined();
    const { graph: rest, prologue } = foldParameters(hoistParameters(graph));
    expect(prologue?.outputs).toHaveLength(1);
    expect(expressions(rest)).toHaveLength(1);
  });

  it("keeps the numbers of any expression and leaves nothing behind", () => {
    const { expression } = fc.letrec<{ expression: ex.Expression }>((tie) => ({
      expression: fc.oneof(
        { depthSize: "small", withCrossShrink: true },
        fc.constantFrom<ex.Expression>(x, w, c, z, ex.literal(2), ex.literal(-1)),
        fc.tuple(fc.constantFrom(ex.neg, ex.tanh, ex.softplus, ex.sigmoid), tie("expression")).map(([f, a]) => f(a)),
        fc
          .tuple(fc.constantFrom(ex.add, ex.sub, ex.mul), tie("expression"), tie("expression"))
          .map(([f, a, b]) => f(a, b)),
      ),
    }));
    let hoistings = 0;
    fc.assert(
      fc.property(expression, (e) => {
        const graph = graphOf(e);
        const hoisted = hoistParameters(graph);
        expect(compute(hoisted)).toEqual(compute(graph));
        const maps = hoisted.nodes.filter(({ op }) => op.name === "map");
        if (maps.length > 1) hoistings++;
        const last = maps.at(-1);
        if (last === undefined || !last.inputs.some((tensor) => tensor?.node.op.leaf === "input")) return;
        const stored = (part: ex.Expression): boolean =>
          part.kind === "constant" ||
          (part.kind === "input" ? last.inputs[part.index]?.node.op.leaf !== "input" : part.args.every(stored));
        const behind = (part: ex.Expression): boolean =>
          part.kind === "call" && (stored(part) || part.args.some(behind));
        expect(behind((last.attributes as MapAttributes).expression)).toBe(false);
      }),
      { numRuns: 300, seed: 4 },
    );
    expect(hoistings).toBeGreaterThan(20);
  });
});
