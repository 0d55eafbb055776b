// Runs the benchmarks that the goals ask for and writes what they measured into docs/performance.md.
// `npx tsx bench/all.ts [matmul selective-scan … training gpu-matmul …]`; without names all of them.
// Results are kept in bench/results.json; a run of some benchmarks replaces theirs only. `--render` only rewrites the page;
// `--rounds 3` makes models and training take less time, for a first look.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type BenchmarkResult, type Results, renderPage } from "./render.ts";

/** On the device that Vulkan finds: VK_ICD_FILENAMES chooses. */
const gpu = ["gpu-matmul", "gpu-selective-scan", "gpu-linear-attention", "gpu-attention"];
const names = [
  "matmul",
  "selective-scan",
  "linear-attention",
  "attention",
  "models",
  "onnx-export",
  "training",
  ...gpu,
];
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const file = here("results.json");
const page = here("../docs/performance.md");

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { render: { type: "boolean", default: false }, rounds: { type: "string" } },
});
const unknown = positionals.filter((name) => !names.includes(name));
if (unknown.length > 0) throw new Error(`no benchmark ${unknown.join(", ")}; there are ${names.join(", ")}`);

const results: Results = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {};
const folder = mkdtempSync(join(tmpdir(), "hybraid-bench-"));
for (const name of values.render ? [] : names.filter((n) => positionals.length === 0 || positionals.includes(n))) {
  const output = join(folder, `${name}.json`);
  const [load = 0] = loadavg();
  const args = ["--import", "tsx", here(`${name}.ts`), "--json", output];
  if (values.rounds !== undefined && ["models", "onnx-export", "training"].includes(name))
    args.push("--rounds", values.rounds);
  const { status } = spawnSync(process.execPath, args, { stdio: "inherit" });
  if (status !== 0) throw new Error(`${name} ended with ${status}`);
  const measured = JSON.parse(readFileSync(output, "utf8")) as BenchmarkResult;
  const sections = measured.sections.map(({ timings, ...section }) => ({
    ...section,
    timings: timings.map(({ name: contender, median, best }) => ({ name: contender, median, best })),
  }));
  results[name] = { ...measured, sections, date: new Date().toISOString().slice(0, 10), load };
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
}
rmSync(folder, { recursive: true });
writeFileSync(page, renderPage(readFileSync(page, "utf8"), results));
console.log(`wrote ${page}`);
process.exit(0);
