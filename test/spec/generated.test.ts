import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { schema } from "../../src/spec/schema.generated.ts";

test("types, schema module and field reference follow from the schema", () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["scripts/generate-spec.mjs", "--check"], {
    encoding: "utf8",
  });
  expect(stdout + stderr).toContain("up to date");
  expect(status).toBe(0);
});

test("every field of the schema says what it means", () => {
  const undocumented: string[] = [];
  const walk = (rule: { properties?: Record<string, { description?: string; $ref?: string }> }, name: string): void => {
    for (const [field, inner] of Object.entries(rule.properties ?? {})) {
      const described = inner.description !== undefined || (inner.$ref !== undefined && describes(inner.$ref));
      if (!described) undocumented.push(`${name}.${field}`);
    }
  };
  const definitions: Record<
    string,
    { description?: string; properties?: Record<string, { description?: string; $ref?: string }> }
  > = JSON.parse(JSON.stringify(schema.definitions));
  const describes = (reference: string): boolean =>
    definitions[reference.replace("#/definitions/", "")]?.description !== undefined;
  walk(JSON.parse(JSON.stringify(schema)), "architecture");
  for (const [name, definition] of Object.entries(definitions)) walk(definition, name);
  expect(undocumented).toEqual([]);
});

test("the schema file is what the module holds", () => {
  expect(JSON.parse(readFileSync("src/spec/architecture.schema.json", "utf8"))).toEqual(schema);
});
