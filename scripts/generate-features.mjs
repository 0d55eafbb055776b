// Writes docs/features.md from what the tests of Hugging Face checkpoints find: which families are imported, computed and
// exported. A title such as "wasm: the same logits there" under a checkpoint's name fills its column.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What each column means. */
const COLUMNS = {
  import: "every field of the configuration is understood, every tensor used or left out for a reason",
  export: "exported and imported again, the weights have the same bits; names and shapes are those of transformers",
  logits:
    "of a random checkpoint, two rows of 37 tokens, within the tolerance of the fixture (1e-4 to 1e-3), on the reference",
  gradients: "loss and the gradient of every stored tensor, within 1e-3 of its largest value, on the reference",
  decode: "token by token and five at a time, the logits of the whole, within the same tolerance",
  generate: "the greedy continuation of transformers, where the fixture has one",
  wasm: "logits and gradients there",
  webgpu: "logits there, within three times the tolerance",
  onnx_ort: "exported in the dialect ort, logits in onnxruntime, within three times the tolerance",
  onnx_onnx: "the same in the dialect onnx",
  onnx_portable: "the same in the dialect portable",
  onnx_scan: "the same in the dialect scan",
};

const folder = mkdtempSync(join(tmpdir(), "features-"));
const report = join(folder, "report.json");
const run = spawnSync(
  "npx",
  ["vitest", "run", "test/formats/huggingface", "--reporter=json", `--outputFile=${report}`],
  {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, HYBRAID_GPU: "all" },
  },
);
const { testResults, numFailedTests } = JSON.parse(readFileSync(report, "utf8"));
rmSync(folder, { recursive: true });

const names = Object.keys(COLUMNS);

/** @type {Map<string, Map<string, boolean>>} By family, then by column: whether all its tests passed. */
const results = new Map();
for (const { assertionResults } of testResults) {
  for (const { ancestorTitles, title, status } of assertionResults) {
    const [family] = ancestorTitles;
    const column = /^(\w+)[^:]*: /.exec(title)?.[1];
    if (ancestorTitles.length !== 1 || column === undefined || !names.includes(column) || !/^\w+$/.test(family))
      continue;
    if (status === "pending" || status === "skipped") continue;
    const row = results.get(family) ?? new Map();
    row.set(column, (row.get(column) ?? true) && status === "passed");
    results.set(family, row);
  }
}
/** @param {boolean | undefined} value */
const mark = (value) => (value === undefined ? "" : value ? "✓" : "✗");
const rows = [...results].sort(([a], [b]) => (a < b ? -1 : 1));
const lines = [
  "# What is known to work",
  "",
  "Written by `node scripts/generate-features.mjs` from the results of `test/formats/huggingface`; do not edit. An empty cell has not",
  "been tested.",
  "",
  `| checkpoint | ${names.join(" | ")} |`,
  `| --- |${" --- |".repeat(names.length)}`,
  ...rows.map(([family, row]) => `| ${family} | ${names.map((column) => mark(row.get(column))).join(" | ")} |`),
  "",
  ...Object.entries(COLUMNS).map(([column, meaning]) => `- **${column}**: ${meaning}.`),
  "",
];
writeFileSync("docs/features.md", lines.join("\n"));
console.log(`docs/features.md: ${rows.length} checkpoints, ${numFailedTests} failed tests`);
if (run.status !== 0) process.exitCode = 1;
