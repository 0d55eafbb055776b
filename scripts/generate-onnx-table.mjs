// Writes src/formats/onnx/verified.generated.ts, which `hybraid export --list` shows: every checkpoint of test/fixtures/hf and
// every file of architectures/ (with random weights), exported in every dialect and compared in onnxruntime with our runtime.
// node --import tsx scripts/generate-onnx-table.mjs
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildForward } from "../src/blocks/model.ts";
import { dialects } from "../src/formats/onnx/lowering.ts";
import { loadOnnxRuntime } from "../src/formats/onnx/node/runtime.ts";
import { verifyOnnxFile } from "../src/formats/onnx/node/verify.ts";
import { createModel } from "../src/model/create.ts";
import { initialiseParameters } from "../src/model/initialise.ts";
import { saveModel } from "../src/model/node/files.ts";
import { expectedOfFolder, exportOnnx } from "../src/model/node/onnx.ts";
import { loadSpecFile } from "../src/spec/node/files.ts";

const folder = mkdtempSync(join(tmpdir(), "onnx-table-"));

/** The folder of a model with random weights. @param {string} file */
async function folderOf(file) {
  const spec = loadSpecFile(join("architectures", file));
  // Larger than at the start of training, so that every part matters.
  const weights = initialiseParameters(buildForward(spec, { stateful: true }), 1);
  for (const [weight, values] of weights) {
    if (!/A_log|dt_|log_dt|A_imag/.test(weight))
      weights.set(
        weight,
        values.map((value) => 3 * value),
      );
  }
  const model = await createModel(spec, { device: "wasm", weights });
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

const runtime = await loadOnnxRuntime().then((found) => {
  if (found === undefined) throw new Error("onnxruntime-node is not installed");
  return found;
});
const quantise = /** @type {const} */ ({ block: 16, symmetric: true });
/** @type {Record<string, import("../src/formats/onnx/storage.ts").StorageOptions>} */
const types = {
  f16: { dtype: "f16" },
  int8: { quantise: { ...quantise, bits: 8 } },
  int4: { quantise: { ...quantise, bits: 4 } },
  int4f16: { dtype: "f16", quantise: { ...quantise, bits: 4 } },
};

/**
 * The largest error of an export, or why there is none.
 * @param {string} model
 * @param {Partial<import("../src/model/node/onnx.ts").OnnxExportOptions>} options
 * @param {import("../src/formats/onnx/node/expected.ts").Expected} expected
 */
async function errorOf(model, options, expected) {
  const out = join(folder, "export");
  rmSync(out, { recursive: true, force: true });
  const plain = /** @type {const} */ ({ dialect: "ort", logits: "all", name: "model", bytes: false, version: "0" });
  try {
    const { files, transformersJs } = await exportOnnx(model, out, { ...plain, verify: false, ...options });
    const path = join(out, files.find((file) => file.endsWith(".onnx")) ?? "");
    const { error, rms, tolerance } = await verifyOnnxFile(path, expected, runtime);
    return { result: Number((tolerance.of === "rms" ? rms : error).toPrecision(1)), transformersJs };
  } catch (error) {
    if (!(error instanceof Error) || error.name !== "OnnxError") throw error;
    return { result: error.message.replaceAll(folder, "").split("\n", 1).join().slice(0, 300) };
  }
}

const rows = [];
for (const { name, open } of cases) {
  const model = await open();
  const expected = await expectedOfFolder(model);
  /** @type {Record<string, number | string>} */
  const byDialect = {};
  /** @type {Record<string, number | string>} */
  const byType = {};
  /** @type {string | null} */
  let target = null;
  for (const dialect of dialects) {
    const { result, transformersJs } = await errorOf(model, { dialect }, expected);
    byDialect[dialect] = result;
    if (transformersJs?.obstacle === undefined) target = transformersJs?.modelType ?? null;
  }
  for (const [type, storage] of Object.entries(types)) {
    byType[type] = (await errorOf(model, { storage }, expected)).result;
  }
  console.log(name, JSON.stringify(byDialect), JSON.stringify(byType), target ?? "-");
  rows.push({ name, dialects: byDialect, types: byType, transformersJs: target });
}
rmSync(folder, { recursive: true });
const text = `// Written by scripts/generate-onnx-table.mjs from exports that onnxruntime ran; do not edit.

export interface VerifiedModel {
  /** A checkpoint of test/fixtures/hf or a file of architectures/. */
  readonly name: string;
  /** By dialect, with f32 weights: the error as \`tolerances\` measures it, or why it can't be exported. */
  readonly dialects: Readonly<Record<string, number | string>>;
  /** The same in the dialect ort with narrower weights, in symmetric blocks of 16. */
  readonly types: Readonly<Record<string, number | string>>;
  /** model_type under which transformers.js runs it; null where it can't. */
  readonly transformersJs: string | null;
}

export const verified: readonly VerifiedModel[] = ${JSON.stringify(rows, null, 2)};
`;
writeFileSync("src/formats/onnx/verified.generated.ts", text);
execFileSync("npx", ["biome", "check", "--write", "src/formats/onnx/verified.generated.ts"]);
