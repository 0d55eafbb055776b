// What narrower weights cost in quality: a trained model exported in every type, its loss on the held-out text of its run in
// onnxruntime, in bits per byte, and the size of the files. `npx tsx bench/onnx-quality.ts RUN`, where RUN is the folder of a run
// on text; --write puts the table into docs/onnx.md.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import * as runtime from "onnxruntime-node";
import { InferenceSession } from "onnxruntime-node";
import type { Batch } from "../src/data/batches.ts";
import { buildOnnxModel } from "../src/formats/onnx/model.ts";
import { OnnxRun } from "../src/formats/onnx/node/session.ts";
import { writeOnnxModel } from "../src/formats/onnx/node/write.ts";
import type { Quantisation, StorageOptions } from "../src/formats/onnx/storage.ts";
import { openModel } from "../src/model/node/files.ts";
import { loadRunFile } from "../src/train/node/config.ts";
import { openRunData } from "../src/train/node/data.ts";
import { RUN_FILE } from "../src/train/node/run-folder.ts";

const { values, positionals } = parseArgs({ allowPositionals: true, options: { write: { type: "boolean" } } });
const [folder] = positionals;
if (folder === undefined) throw new Error("which run? its folder is missing");

const quantised = (bits: 4 | 8, block: number, symmetric = true): Quantisation => ({ bits, block, symmetric });
const variants: readonly (readonly [name: string, options: string, storage: StorageOptions])[] = [
  ["f32", "", {}],
  ["f16", "--dtype f16", { dtype: "f16" }],
  ["int8, blocks of 32", "--quantize int8", { quantise: quantised(8, 32) }],
  ["int8, blocks of 128", "--quantize int8 --block 128", { quantise: quantised(8, 128) }],
  ["int4, blocks of 16", "--quantize int4 --block 16", { quantise: quantised(4, 16) }],
  ["int4, blocks of 32", "--quantize int4", { quantise: quantised(4, 32) }],
  ["int4, blocks of 32, asymmetric", "--quantize int4 --asymmetric", { quantise: quantised(4, 32, false) }],
  ["int4, blocks of 128", "--quantize int4 --block 128", { quantise: quantised(4, 128) }],
];

/** Natural logarithm of the probability of `target`. */
function logProbability(logits: Float32Array, target: number): number {
  const largest = logits.reduce((most, x) => Math.max(most, x), Number.NEGATIVE_INFINITY);
  let sum = 0;
  for (const x of logits) sum += Math.exp(x - largest);
  return (logits[target] ?? Number.NaN) - largest - Math.log(sum);
}

interface Quality {
  /** Mean, nats per token. */
  readonly loss: number;
  /** Tokens whose likeliest successor is right. */
  readonly accuracy: number;
}

async function qualityOf(session: InferenceSession, batches: readonly Batch[], rows: number): Promise<Quality> {
  let [sum, right, count] = [0, 0, 0];
  for (const { tokens, targets } of batches) {
    const length = tokens.length / rows;
    const logits = await new OnnxRun(runtime, session, rows).forward(
      Array.from({ length: rows }, (_, row) => tokens.subarray(row * length, (row + 1) * length)),
      [],
    );
    const vocabulary = logits.length / tokens.length;
    for (const [i, target] of targets.entries()) {
      if (target < 0) continue;
      const own = logits.subarray(i * vocabulary, (i + 1) * vocabulary);
      sum -= logProbability(own, target);
      right += own.every((x) => x <= (own[target] ?? Number.NaN)) ? 1 : 0;
      count++;
    }
  }
  return { loss: sum / count, accuracy: right / count };
}

const { config, directory } = loadRunFile(join(folder, RUN_FILE));
const data = await openRunData(config, directory);
const { heldOut } = data;
if (heldOut === undefined) throw new Error(`${folder}: a run on text is needed`);
const { spec, weights, close } = await openModel(folder);
const read = async (name: string): Promise<Float32Array> => (await weights.get(name)) ?? new Float32Array();
const rows: string[][] = [];
for (const [name, options, storage] of variants) {
  const out = mkdtempSync(join(tmpdir(), "hybraid-quality-"));
  try {
    const path = join(out, "model.onnx");
    await writeOnnxModel(buildOnnxModel(spec, read, { storage }), path);
    const bytes = readdirSync(out).reduce((sum, file) => sum + statSync(join(out, file)).size, 0);
    const session = await InferenceSession.create(path, { logSeverityLevel: 3, intraOpNumThreads: 2 });
    const { loss, accuracy } = await qualityOf(session, data.evaluation, config.batch_size);
    await session.release();
    const bits = (loss / Math.LN2) * (heldOut.tokens / heldOut.bytes);
    const row = [
      name,
      options === "" ? "" : `\`${options}\``,
      `${(bytes / 1e6).toFixed(2)} MB`,
      bits.toFixed(4),
      `${(100 * accuracy).toFixed(2)}%`,
    ];
    rows.push(row);
    console.log(row.join("  "));
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}
await close();

if (values.write === true) {
  const file = new URL("../docs/onnx.md", import.meta.url);
  const text = readFileSync(file, "utf8");
  const head = ["weights", "options", "files", "bits per byte", "next byte right"];
  const table = [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
  const section = /(<!-- quantisation -->)[\s\S]*?(<!-- \/quantisation -->)/;
  if (!section.test(text)) throw new Error("docs/onnx.md has no place for the table");
  writeFileSync(file, text.replace(section, `$1\n${table}\n$2`));
}
