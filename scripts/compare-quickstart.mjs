// The table of the README: held-out bits per byte of the quickstart, of attention only and Mamba only with the same number of
// parameters and the same training time, and of compressors on the same held-out bytes. Runs go one after the other, on an
// otherwise idle machine, please.
//   npm run compare [-- --minutes 2] [-- --write]      (--write puts the table into README.md)
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { brotliCompressSync, constants, deflateRawSync, gzipSync } from "node:zlib";
import { parse, stringify } from "yaml";
import { readTextFiles } from "../dist/data/node/text-files.js";
import { splitTokens } from "../dist/data/text.js";
import { loadRunFile } from "../dist/train/node/config.js";

const { values: options } = parseArgs({
  options: { minutes: { type: "string" }, write: { type: "boolean", default: false } },
});
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(root, "runs", "compare");
mkdirSync(folder, { recursive: true });
const quickstart = join(root, "configs", "quickstart.yaml");

/** @type {readonly (readonly [label: string, architecture: string])[]} */
const contenders = [
  ["hybrid: Mamba + attention in a window of 128", join(root, "architectures", "quickstart.yaml")],
  ["attention only", join(root, "architectures", "baselines", "attention.yaml")],
  ["Mamba only", join(root, "architectures", "baselines", "mamba.yaml")],
];

/**
 * The quickstart's run with another architecture, as a file of its own.
 * @param {string} architecture
 * @param {string} name
 */
function runFile(architecture, name) {
  const run = parse(readFileSync(quickstart, "utf8"));
  run.name = name;
  run.architecture = relative(folder, architecture);
  run.data.files = run.data.files.map((/** @type {string} */ path) =>
    relative(folder, join(dirname(quickstart), path)),
  );
  if (options.minutes !== undefined) run.minutes = Number(options.minutes);
  const path = join(folder, `${name}.yaml`);
  writeFileSync(path, stringify(run));
  return path;
}

/** @type {string[][]} */
const rows = [];
for (const [label, architecture] of contenders) {
  const name = label.split(/[ :]/)[0]?.toLowerCase() ?? "run";
  const out = join(folder, name);
  rmSync(out, { recursive: true, force: true });
  const args = [join(root, "dist/cli/main.js"), "train", runFile(architecture, name), "--out", out, "--json"];
  const { stdout, status } = spawnSync(process.execPath, args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (status !== 0) process.exit(status ?? 1);
  const { parameters, total, seconds, evaluation } = JSON.parse(stdout);
  const training = `${total.toLocaleString("en-US")} steps in ${(seconds / 60).toFixed(1)} min`;
  const { bits_per_byte: windows, streamed_bits_per_byte: stream } = evaluation;
  rows.push([label, parameters.toLocaleString("en-US"), training, windows.toFixed(3), stream?.toFixed(3) ?? ""]);
}

// Compressors on the same held-out bytes, knowing nothing else, and knowing the training text as the models do.
const { config, directory } = loadRunFile(quickstart);
if (config.data.type === "task" || !("fraction" in config.data.validation))
  throw new Error("not held out of its own text");
const documents = await readTextFiles(config.data.files, directory);
const split = splitTokens(
  documents.map(({ text }) => new Uint8Array(Buffer.from(text))),
  config.data.validation,
);
const [text, known] = [Buffer.from(split.validation), Buffer.from(split.train)];

/** @param {Uint8Array} data */
const brotli = (data) =>
  brotliCompressSync(data, {
    params: { [constants.BROTLI_PARAM_LGWIN]: 24, [constants.BROTLI_PARAM_SIZE_HINT]: data.length },
  }).length;
/** @type {readonly (readonly [label: string, bytes: number])[]} */
const compressors = [
  ["gzip -9", gzipSync(text, { level: 9 }).length],
  ["gzip -9, given 32 KiB of the training text", longDictionary(text, known)],
  ["brotli -q 11", brotli(text)],
  ["brotli -q 11, given all of the training text", brotli(Buffer.concat([known, text])) - brotli(known)],
];
for (const [label, bytes] of compressors) rows.push([label, "", "", "", ((8 * bytes) / text.length).toFixed(3)]);

/**
 * Deflate sees no further back than 32 KiB.
 * @param {Uint8Array} data
 * @param {Uint8Array} dictionary
 */
function longDictionary(data, dictionary) {
  return deflateRawSync(data, { level: 9, dictionary: dictionary.subarray(-32768) }).length;
}

const head = [
  ["", "parameters", "training", `windows of ${config.sequence_length}`, "one stream"],
  ["---", "---:", "---", "---:", "---:"],
];
const table = [...head, ...rows].map((row) => `| ${row.join(" | ")} |\n`).join("");
process.stdout.write(table);
if (options.write) {
  const readme = join(root, "README.md");
  const content = readFileSync(readme, "utf8");
  const marked = /(<!-- quickstart -->\n)[\s\S]*?(<!-- \/quickstart -->)/;
  if (!marked.test(content)) throw new Error("README.md has no place for the table");
  writeFileSync(
    readme,
    content.replace(marked, (_, open, close) => `${open}\n${table}\n${close}`),
  );
}
