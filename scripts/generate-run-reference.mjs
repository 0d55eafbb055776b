// Writes the field reference of docs/run-files.md from src/train/run-schema.ts and the table of tasks. The sources are
// TypeScript, so:
//
//   node --import tsx scripts/generate-run-reference.mjs           write
//   node --import tsx scripts/generate-run-reference.mjs --check   exit 1 where the file is out of date
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { TASKS } from "../src/data/tasks/index.ts";
import { runSchema } from "../src/train/run-schema.ts";
import { section } from "./spec-reference.mjs";

const FILE = fileURLToPath(new URL("../docs/run-files.md", import.meta.url));
const BEGIN = "<!-- fields: written by scripts/generate-run-reference.mjs, do not edit -->";
const END = "<!-- end of fields -->";

const fields = [
  section("A run", runSchema),
  ...Object.entries(runSchema.definitions).map(([name, definition]) => section(`\`${name}\``, definition)),
].join("\n");

const tasks = [...TASKS.values()].map(({ name, description, source, parameters }) => {
  const rows = Object.entries(parameters).map(
    ([parameter, rule]) => `| \`${parameter}\` | \`${rule.default}\` | ${rule.description} |`,
  );
  return [
    `### Task \`${name}\``,
    "",
    `${description} ${source}.`,
    "",
    "| parameter | default | meaning |",
    "|---|---|---|",
    ...rows,
    "",
  ].join("\n");
});

const text = readFileSync(FILE, "utf8");
const [before, rest] = text.split(BEGIN);
const after = rest?.split(END)[1];
if (before === undefined || after === undefined) throw new Error(`${FILE} has no place for the fields`);
const written = `${before}${BEGIN}\n\n${fields}\n${tasks.join("\n")}\n${END}${after}`;
if (process.argv.includes("--check")) {
  if (written === text) process.exit(0);
  process.stderr.write("docs/run-files.md is out of date; run node --import tsx scripts/generate-run-reference.mjs\n");
  process.exit(1);
}
writeFileSync(FILE, written);
