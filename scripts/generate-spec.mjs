// Writes what follows from src/spec/architecture.schema.json: the types of architecture files, the schema as a module
// (so that browsers and every Node can import it), and the field reference of docs/spec.md.
//
//   node scripts/generate-spec.mjs           write
//   node scripts/generate-spec.mjs --check   exit 1 and name the files that are out of date
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { compile } from "json-schema-to-typescript";
import { fieldReference } from "./spec-reference.mjs";

const root = new URL("../", import.meta.url);
const SCHEMA = "src/spec/architecture.schema.json";
const BEGIN = "<!-- fields: written by scripts/generate-spec.mjs, do not edit -->";
const END = "<!-- end of fields -->";

/** @param {string} path */
const read = (path) => readFileSync(new URL(path, root), "utf8");
const banner = `// Written by scripts/generate-spec.mjs from architecture.schema.json; change that and run the script.\n`;

/**
 * A schema without what stands beside a `$ref`, so that one definition becomes one type.
 * @param {unknown} value
 * @returns {unknown}
 */
function bareReferences(value) {
  if (Array.isArray(value)) return value.map(bareReferences);
  if (typeof value !== "object" || value === null) return value;
  if ("$ref" in value) return { $ref: value.$ref };
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, bareReferences(inner)]));
}

/**
 * The text as `biome format` leaves it.
 * @param {string} name
 * @param {string} text
 */
function formatted(name, text) {
  const biome = createRequire(import.meta.url).resolve("@biomejs/biome/bin/biome");
  const result = spawnSync(process.execPath, [biome, "format", `--stdin-file-path=src/spec/${name}`], {
    cwd: fileURLToPath(root),
    input: text,
    encoding: "utf8",
  });
  if (result.status !== 0) throw new Error(`biome could not format ${name}: ${result.stderr}`);
  return result.stdout;
}

async function generate() {
  const schema = JSON.parse(read(SCHEMA));
  const types = await compile(/** @type {any} */ (bareReferences(schema)), "ArchitectureFile", {
    additionalProperties: false,
    bannerComment: `${banner}// The fields of an architecture file as users write them, before defaults and derived sizes.`,
    ignoreMinAndMaxItems: true,
    unreachableDefinitions: true,
  });
  const quietTypes = types.replaceAll(
    /\n \*\n \* This interface was referenced by .*\n \* via the `definition` .*/g,
    "",
  );
  const module = `${banner}// The JSON Schema of architecture files as a constant, so that its defaults have types.
export const schema = ${JSON.stringify(schema, null, 2)} as const;
`;
  const page = read("docs/spec.md");
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`docs/spec.md lacks the lines ${BEGIN} and ${END}`);
  return new Map([
    ["src/spec/types.generated.ts", formatted("types.generated.ts", quietTypes)],
    ["src/spec/schema.generated.ts", formatted("schema.generated.ts", module)],
    ["docs/spec.md", `${page.slice(0, begin + BEGIN.length)}\n\n${fieldReference(schema)}\n${page.slice(end)}`],
  ]);
}

const check = process.argv.includes("--check");
const stale = [];
for (const [path, text] of await generate()) {
  let before = "";
  try {
    before = read(path);
  } catch {
    // Not there yet.
  }
  if (before === text) continue;
  stale.push(path);
  if (!check) writeFileSync(fileURLToPath(new URL(path, root)), text);
}
if (check && stale.length > 0) {
  console.error(`out of date: ${stale.join(", ")}; run node scripts/generate-spec.mjs`);
  process.exitCode = 1;
} else {
  console.log(stale.length === 0 ? "up to date" : `wrote ${stale.join(", ")}`);
}
