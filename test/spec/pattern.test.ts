import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compressPattern } from "../../src/spec/compress.ts";
import {
  blockNameProblem,
  countLayers,
  expandPattern,
  MAX_LAYERS,
  type PatternNode,
  parsePattern,
  printPattern,
} from "../../src/spec/pattern.ts";

const expand = (text: string): string[] => {
  const { items, problems } = parsePattern(text);
  expect(problems).toEqual([]);
  return expandPattern(items).map((layer) => layer.names.join("&"));
};

const leaf = { start: 0, end: 0 };
const name = fc.oneof(fc.constantFrom("M", "*", "-", "E", "σ", "😀"), fc.constantFrom("attn", "mamba_2", "x9"));
const patterns = fc.letrec<{ node: PatternNode; items: PatternNode[] }>((tie) => ({
  node: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    name.map((block): PatternNode => ({ kind: "block", name: block, ...leaf })),
    fc.array(name, { minLength: 2, maxLength: 4 }).map((names): PatternNode => ({ kind: "parallel", names, ...leaf })),
    tie("items").map((items): PatternNode => ({ kind: "group", items, ...leaf })),
    fc.tuple(tie("node"), fc.integer({ min: 1, max: 4 })).map(([item, count]): PatternNode => {
      return { kind: "repeat", item, count, ...leaf };
    }),
  ),
  items: fc.array(tie("node"), { minLength: 1, maxLength: 4 }),
})).items;

/** The pattern without its places. */
function bare(items: readonly PatternNode[]): unknown {
  return JSON.parse(JSON.stringify(items, (key, value) => (key === "start" || key === "end" ? undefined : value)));
}

/** The layers of a pattern, by the shortest definition there is. */
function layersOf(node: PatternNode): string[] {
  if (node.kind === "block") return [node.name];
  if (node.kind === "parallel") return [node.names.join("&")];
  if (node.kind === "group") return node.items.flatMap(layersOf);
  return Array.from({ length: node.count }, () => layersOf(node.item)).flat();
}

describe("a pattern", () => {
  test("is one character per block", () => {
    expect(expand("M-M*")).toEqual(["M", "-", "M", "*"]);
  });

  test("repeats blocks, groups, names and parallel blocks", () => {
    expect(expand("M{2}(*-){2}@attn{2}[M&*]{2}")).toEqual(["M", "M", "*", "-", "*", "-", "attn", "attn", "M&*", "M&*"]);
    expect(expand("((M-){2}*){2}").join("")).toBe("M-M-*M-M-*");
    expect(expand("M{2}{3}")).toHaveLength(6);
  });

  test("ignores white space and pipeline cuts", () => {
    expect(expand(" M - |\n M\t* { 2 } ")).toEqual(["M", "-", "M", "*", "*"]);
  });

  test("takes Megatron's strings as they are", () => {
    const nemotron = "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-";
    expect(expand(nemotron).join("")).toBe(nemotron);
  });

  test("names longer than a character end at the first sign that cannot be part of them", () => {
    expect(expand("@attn-@attn M@mamba_2(M)")).toEqual(["attn", "-", "attn", "M", "mamba_2", "M"]);
    expect(expand("[@attn & M]")).toEqual(["attn&M"]);
  });

  test("of any nesting expands to what it says", () => {
    fc.assert(
      fc.property(patterns, (items) => {
        const layers = items.flatMap(layersOf);
        expect(countLayers(items)).toBe(layers.length);
        fc.pre(layers.length <= MAX_LAYERS);
        expect(expandPattern(items).map((layer) => layer.names.join("&"))).toEqual(layers);
      }),
      { numRuns: 300 },
    );
  });

  test("printed and parsed again is the same pattern", () => {
    fc.assert(
      fc.property(patterns, (items) => {
        const { items: again, problems } = parsePattern(printPattern(items));
        expect(problems).toEqual([]);
        expect(bare(again)).toEqual(bare(items));
      }),
      { numRuns: 300 },
    );
  });

  test("of any text is read without throwing, and problems lie within it", () => {
    const signs = fc.string({ unit: fc.constantFrom(..."M-*()[]{}@&|/ 0123ax\n"), maxLength: 40 });
    fc.assert(
      fc.property(fc.oneof(signs, fc.string({ unit: "binary" })), (text) => {
        const { items, problems } = parsePattern(text);
        for (const { start, end } of problems) {
          expect(start).toBeGreaterThanOrEqual(0);
          expect(end).toBeGreaterThan(start);
          expect(end).toBeLessThanOrEqual(text.length);
        }
        if (problems.length === 0 && countLayers(items) <= MAX_LAYERS) expandPattern(items);
      }),
      { numRuns: 1000 },
    );
  });

  test("nested very deeply is refused, not fatal", () => {
    const { problems } = parsePattern("(".repeat(100_000));
    expect(problems[0]?.message).toContain("nested more than 64 deep");
  });

  test("of too many layers is counted without making them", () => {
    const { items } = parsePattern("M{10000}{10000}{10000}{10000}");
    expect(countLayers(items)).toBe(1e16);
    expect(() => expandPattern(items)).toThrow(RangeError);
  });
});

describe("the short form of a stack", () => {
  test("folds repeats", () => {
    const compress = (text: string) => compressPattern([...text].map((block) => [block]));
    expect(compress("MMMM")).toBe("M{4}");
    expect(compress("M-*-M-*-")).toBe("(M-*-){2}");
    expect(compress("M-M-M-M-*-M-M-M-")).toBe("(M-){4}*-(M-){3}");
    expect(compress("M")).toBe("M");
    expect(compressPattern([["mamba"], ["x", "attn"], ["mamba"], ["x", "attn"]])).toBe("(@mamba[x&@attn]){2}");
  });

  test("expands to the stack again", () => {
    const stack = fc.array(fc.array(fc.constantFrom("M", "-", "attn"), { minLength: 1, maxLength: 2 }), {
      maxLength: 40,
    });
    fc.assert(
      fc.property(stack, (layers) => {
        expect(expand(compressPattern(layers))).toEqual(layers.map((names) => names.join("&")));
      }),
      { numRuns: 300 },
    );
  });
});

test("a block's name is one sign without a meaning in patterns, or a word", () => {
  for (const good of ["M", "*", "-", "σ", "attn", "mamba_2", "_x"]) expect(blockNameProblem(good)).toBeUndefined();
  for (const bad of ["", " ", "(", "@", "3", "&", "a-b", "9a", "a b", "\u0007"])
    expect(blockNameProblem(bad)).toBeDefined();
});
