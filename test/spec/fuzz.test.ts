// Whatever the text, the answer is a spec or diagnostics: nothing else is thrown and nothing hangs.
import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatDiagnostics, SpecError } from "../../src/spec/diagnostic.ts";
import { checkSpec, loadSpec, stringifySpec } from "../../src/spec/load.ts";

const samples = readdirSync("architectures")
  .filter((name) => name.endsWith(".yaml"))
  .map((name) => readFileSync(`architectures/${name}`, "utf8"));

function survives(text: string): void {
  const { spec, diagnostics } = checkSpec(text);
  for (const { line, column, message } of diagnostics) {
    expect(message).not.toBe("");
    expect(line ?? 1).toBeGreaterThanOrEqual(1);
    expect(column ?? 1).toBeGreaterThanOrEqual(1);
  }
  formatDiagnostics(diagnostics);
  if (spec === undefined) {
    expect(diagnostics.some((diagnostic) => diagnostic.severity === "error")).toBe(true);
    expect(() => loadSpec(text)).toThrow(SpecError);
  } else {
    expect(loadSpec(stringifySpec(spec))).toEqual(spec);
  }
}

test("arbitrary text", () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.string({ unit: "binary" })), survives), { numRuns: 200 });
});

test("arbitrary YAML data", () => {
  const values = fc.jsonValue({ maxDepth: 4 }).map((value) => JSON.stringify(value));
  const field = fc.constantFrom(
    "name",
    "d_model",
    "vocab_size",
    "norm",
    "head",
    "blocks",
    "layers",
    "overrides",
    "extends",
  );
  const file = fc.dictionary(field, fc.jsonValue({ maxDepth: 3 })).map((value) => JSON.stringify(value));
  fc.assert(fc.property(fc.oneof(values, file), survives), { numRuns: 150 });
});

test("good files with a stretch cut out, doubled or changed", () => {
  const edit = fc.record({
    text: fc.constantFrom(...samples),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    length: fc.integer({ min: 0, max: 30 }),
    insert: fc.oneof(
      fc.constant(""),
      fc.string({ unit: fc.constantFrom(..."{}[]()&*@!|>:-,#'\" \n\t0123eE.xM"), maxLength: 6 }),
      fc.constantFrom("null", "true", "-1", "1e999", ".nan", "[]", "{}", "*a", "&a ", "9999999", "''"),
    ),
  });
  fc.assert(
    fc.property(edit, ({ text, at, length, insert }) => {
      const start = Math.floor(at * text.length);
      survives(text.slice(0, start) + insert + text.slice(start + length));
    }),
    { numRuns: 250 },
  );
});

test("nesting as deep as it likes", () => {
  for (const [open, close] of [
    ["[", "]"],
    ["{a: ", "}"],
    ["- ", ""],
  ] as const) {
    survives(open.repeat(4_000) + close.repeat(4_000));
  }
  survives(`layers: "${"(".repeat(10_000)}"`);
});
