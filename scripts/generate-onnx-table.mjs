// Writes src/formats/onnx/verified.generated.ts, which `hybraid export --list` shows: every checkpoint of test/fixtures/hf and
// every file of architectures/ (with random weights), exported in every dialect and compared in onnxruntime with our runtime.
// node --import tsx scripts/generate-onnx-table.mjs
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dialects } from "../src/formats/onnx/lowering.ts";
import { createModel } from "../src/model/model.ts";
import { saveModel } from "../src/model/node/files.ts";
import { exportOnnx } from "../src/model/node/onnx.ts";
import { loadSpecFile } from "../src/spec/node/files.ts";
import { lively } from "../test/model/lively.ts";

const folder = mkdtempSync(join(tmpdir(), "onnx-table-"));

/** The folder of a model with random weights. @param {string} file */
async function folderOf(file) {
  const spec = loadSpecFile(join("architectures", file));
  const model = await createModel(spec, { device: "wasm", weights: lively(spec) });
  const target = join(folder, "model");
  rmSync(target, { recursive: true, force: true });
  await saveModel(model, target);
  await model.close();
  return target;
}

const cases = [
  ...readdirSync("test/fixtures/hf").map((name) => ({ name, open: async () => `test/fixtures/hf/${name}` })),
  ...readdirSync("architectures")
    .filter((file) => file.endsWith(".yaml"))
    .map((file) => ({ name: `architectures/${file}`, open: () => folderOf(file) })),
];

const rows = [];
for (const { name, open } of cases) {
  const model = await open();
  /** @type {Record<string, number | string>} */
  const results = {};
  /** @type {string | null} */
  let transformersJs = null;
  for (const dialect of dialects) {
    const out = join(folder, "export");
    rmSync(out, { recursive: true, force: true });
    try {
      const { verification, transformersJs: target } = await exportOnnx(model, out, {
        ...{ dialect, logits: "all", name: "model", verify: true, bytes: false, version: "0" },
      });
      if (verification === undefined) throw new Error("onnxruntime-node is not installed");
      results[dialect] = Number(verification.error.toPrecision(1));
      transformersJs = target.obstacle === undefined ? target.modelType : null;
    } catch (error) {
      if (!(error instanceof Error) || error.name !== "OnnxError") throw error;
      results[dialect] = error.message.replaceAll(folder, "").split("\n", 1).join().slice(0, 300);
    }
  }
  console.log(name, JSON.stringify(results), transformersJs ?? "-");
  rows.push({ name, dialects: results, transformersJs });
}
rmSync(folder, { recursive: true });
const text = `// Written by scripts/generate-onnx-table.mjs from exports that onnxruntime ran; do not edit.

export interface VerifiedModel {
  /** A checkpoint of test/fixtures/hf or a file of architectures/. */
  readonly name: string;
  /** By dialect, with f32 weights: the largest error relative to the largest logit, or why it can't be exported. */
  readonly dialects: Readonly<Record<string, number | string>>;
  /** model_type under which transformers.js runs it; null where it can't. */
  readonly transformersJs: string | null;
}

export const verified: readonly VerifiedModel[] = ${JSON.stringify(rows, null, 2)};
`;
writeFileSync("src/formats/onnx/verified.generated.ts", text);
