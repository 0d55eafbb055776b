// A model as a folder of ONNX files that onnxruntime and transformers.js open, verified before it appears.
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { byteTokenizerFiles, plainTokenizerConfig } from "../../data/tokenizer-json.ts";
import { formatConfigJson, parseConfigJson } from "../../formats/huggingface/json.ts";
import { CONFIG_FILE } from "../../formats/huggingface/node/folder.ts";
import { writeTextAtomic } from "../../formats/node/atomic-file.ts";
import { FolderExistsError, makeFolderAtomic } from "../../formats/node/atomic-folder.ts";
import { OnnxError } from "../../formats/onnx/error.ts";
import type { Dialect } from "../../formats/onnx/lowering.ts";
import { buildOnnxModel } from "../../formats/onnx/model.ts";
import {
  computeExpected,
  EXPECTED_FILE,
  type Expected,
  readExpected,
  writeExpected,
} from "../../formats/onnx/node/expected.ts";
import { INSTALL_ONNXRUNTIME, loadOnnxRuntime } from "../../formats/onnx/node/runtime.ts";
import { type Verification, verifyOnnxFile } from "../../formats/onnx/node/verify.ts";
import { writeOnnxModel } from "../../formats/onnx/node/write.ts";
import type { StorageOptions } from "../../formats/onnx/storage.ts";
import { nativeConfig, stateNames, transformersJsConfig } from "../../formats/onnx/transformers-js.ts";
import type { ArchitectureSpec } from "../../spec/types.ts";
import { createModel, type WeightSource, weightOf } from "../create.ts";
import { specHash } from "../hash.ts";
import { isModelOfOurs, openModel } from "./files.ts";
import { copyTextFiles, ORIGINAL_CONFIG_FILE, originalConfig } from "./huggingface.ts";

/** What an export folder says about itself. */
export const RECORD_FILE = "hybraid_export.json";
/** Where transformers.js looks for graphs. */
export const ONNX_FOLDER = "onnx";

export const dataTypes = ["f32", "f16", "int8", "int4", "int4f16"] as const;
/** How weights are stored. int4f16: blocks of 4 bits, and f16 for what is not in blocks. */
export type DataType = (typeof dataTypes)[number];

/** What transformers.js calls them, and what it appends to the names of files. */
const variants: { readonly [T in DataType]: { readonly dtype: string; readonly suffix: string } } = {
  f32: { dtype: "fp32", suffix: "" },
  f16: { dtype: "fp16", suffix: "_fp16" },
  int8: { dtype: "q8", suffix: "_quantized" },
  int4: { dtype: "q4", suffix: "_q4" },
  int4f16: { dtype: "q4f16", suffix: "_q4f16" },
};

/** The one that storage options amount to. */
function dataTypeOf({ dtype = "f32", quantise }: StorageOptions): DataType {
  if (quantise === undefined) return dtype;
  if (quantise.bits === 8) return "int8";
  return dtype === "f16" ? "int4f16" : "int4";
}

export interface OnnxExportOptions {
  readonly dialect: Dialect;
  readonly logits: "all" | "last";
  /** How weights are stored; default f32. */
  readonly storage?: StorageOptions | undefined;
  /** Name of the graph without its ending; transformers.js looks for `model`. */
  readonly name: string;
  /** Have onnxruntime compute what our runtime does before the folder appears. */
  readonly verify: boolean;
  /** Text becomes bytes: there is no tokenizer to copy. */
  readonly bytes: boolean;
  /** Of hybraid. */
  readonly version: string;
  readonly signal?: AbortSignal;
  /** Told what is being done. */
  readonly onStage?: (text: string) => void;
}

export interface OnnxExport {
  readonly dataType: DataType;
  /** Paths in the folder. */
  readonly files: readonly string[];
  readonly bytes: number;
  readonly textFiles: readonly string[];
  readonly verification: Verification | undefined;
  /** Why it was not verified. */
  readonly unverified: string | undefined;
  readonly transformersJs: { readonly modelType: string; readonly obstacle: string | undefined };
}

interface ExportRecord {
  readonly spec_hash: string;
  readonly files: Readonly<Record<string, unknown>>;
  readonly [name: string]: unknown;
}

/**
 * Writes the model in the folder `from` as a folder `out`, which appears when all is done and verified, or not at all. Where
 * `out` is an export of the same model, a file of another name or data type is added to it.
 *
 * @throws OnnxError for what has no form in the dialect, and for a file that does not compute what it should;
 * FolderExistsError, FileWriteError, and the errors of {@link openModel}
 */
export async function exportOnnx(from: string, out: string, options: OnnxExportOptions): Promise<OnnxExport> {
  const { dialect, logits, storage = {}, version, signal, onStage } = options;
  const source = await openModel(from);
  try {
    const { spec } = source;
    const hash = specHash(spec);
    const type = dataTypeOf(storage);
    const variant = variants[type];
    const file = `${options.name}${variant.suffix}.onnx`;
    const before = await exportedBefore(out, hash, file);
    const original = (await isModelOfOurs(from)) ? await originalConfig(from) : await readConfig(from);
    const native = nativeConfig(spec, original);
    const model = buildOnnxModel(spec, (name) => weightOf(source.weights, name), {
      dialect,
      logits,
      storage,
      names: stateNames(spec, native),
      metadata: {
        "hybraid.version": version,
        "hybraid.spec_hash": hash,
        "hybraid.dtype": type,
        ...(storage.quantise === undefined ? {} : { "hybraid.quantisation": JSON.stringify(storage.quantise) }),
      },
    });
    const { config, obstacle } = transformersJsConfig(spec, native, model.states);
    const expected = await expectedOf(spec, source.weights, before === undefined ? undefined : out, options);

    const fill = async (folder: string): Promise<OnnxExport> => {
      const path = join(folder, ONNX_FOLDER, file);
      await mkdir(dirname(path), { recursive: true });
      onStage?.(`writing ${ONNX_FOLDER}/${file}`);
      const shards = await writeOnnxModel(model, path, { signal });
      const names = [file, ...shards].map((name) => `${ONNX_FOLDER}/${name}`);
      const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size));
      if (expected !== undefined && before === undefined) await writeExpected(expected, join(folder, EXPECTED_FILE));
      const { verification, unverified } = await verified(path, expected, options);
      const facts = {
        dialect,
        dtype: type,
        quantisation: storage.quantise,
        logits,
        ...summary(verification, unverified),
      };
      await writeTextAtomic(
        join(folder, RECORD_FILE),
        json({
          hybraid: version,
          architecture: spec.name,
          spec_hash: hash,
          transformers_js: obstacle === undefined ? { model_type: config.model_type } : { obstacle },
          files: { ...before?.record.files, [`${ONNX_FOLDER}/${file}`]: facts },
        }),
      );
      const known = before?.config ?? config;
      await writeTextAtomic(
        join(folder, CONFIG_FILE),
        formatConfigJson(withLoading(known, file, shards, variant.dtype)),
      );
      const textFiles = before === undefined ? await writeTextFiles(from, folder, spec, config, options) : [];
      if (original !== undefined && before === undefined)
        await writeTextAtomic(join(folder, ORIGINAL_CONFIG_FILE), formatConfigJson(original));
      signal?.throwIfAborted();
      const transformersJs = { modelType: String(config.model_type), obstacle };
      const bytes = sizes.reduce((sum, size) => sum + size, 0);
      return { dataType: type, files: names, bytes, textFiles, verification, unverified, transformersJs };
    };
    return before === undefined ? await makeFolderAtomic(out, fill) : await addTo(out, fill);
  } finally {
    await source.close();
  }
}

/** The export that is there already and may be added to. @throws FolderExistsError, OnnxError where it may not */
async function exportedBefore(
  out: string,
  hash: string,
  file: string,
): Promise<{ readonly record: ExportRecord; readonly config: Readonly<Record<string, unknown>> } | undefined> {
  const text = await readFile(join(out, RECORD_FILE), "utf8").catch(() => undefined);
  if (text === undefined) {
    if (existsSync(out)) await requireEmpty(out);
    return undefined;
  }
  const record = JSON.parse(text) as ExportRecord;
  if (record.spec_hash !== hash)
    throw new OnnxError(`${out}: holds the export of another architecture; give another name`);
  if (existsSync(join(out, ONNX_FOLDER, file))) throw new FolderExistsError(join(out, ONNX_FOLDER, file));
  const config = await readConfig(out);
  if (config === undefined) throw new OnnxError(`${out}: has no ${CONFIG_FILE}; give another name`);
  return { record, config };
}

/** Told before the work rather than after it. */
async function requireEmpty(out: string): Promise<void> {
  await makeFolderAtomic(out, async () => undefined);
}

/** Adds what `fill` writes to the folder `out`: graphs' data first, then what names them. */
async function addTo(out: string, fill: (folder: string) => Promise<OnnxExport>): Promise<OnnxExport> {
  const draft = join(out, `.adding-${process.pid}`);
  try {
    const result = await makeFolderAtomic(draft, fill);
    for (const name of [...result.files].reverse()) await rename(join(draft, name), join(out, name));
    for (const name of [CONFIG_FILE, RECORD_FILE]) await rename(join(draft, name), join(out, name));
    return result;
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** What our runtime computes: from the export that is added to, or anew. */
async function expectedOf(
  spec: ArchitectureSpec,
  weights: WeightSource,
  existing: string | undefined,
  { verify, onStage, signal }: OnnxExportOptions,
): Promise<Expected | undefined> {
  if (!verify) return undefined;
  if (existing !== undefined && existsSync(join(existing, EXPECTED_FILE)))
    return readExpected(join(existing, EXPECTED_FILE));
  onStage?.("computing what it should compute");
  return computedHere(spec, weights, signal);
}

/** Logits of our wasm runtime, with f32 weights. */
async function computedHere(spec: ArchitectureSpec, weights: WeightSource, signal?: AbortSignal): Promise<Expected> {
  const model = await createModel(spec, { device: "wasm", weights });
  try {
    const longest = spec.positions?.max_length ?? Number.POSITIVE_INFINITY;
    return await computeExpected(specHash(spec), spec.vocab_size, longest, async (tokens) => {
      signal?.throwIfAborted();
      return (await model.forward(tokens)).logits;
    });
  } finally {
    await model.close();
  }
}

/** {@link computedHere} for the model in a folder. */
export async function expectedOfFolder(folder: string): Promise<Expected> {
  const { spec, weights, close } = await openModel(folder);
  try {
    return await computedHere(spec, weights);
  } finally {
    await close();
  }
}

async function verified(
  path: string,
  expected: Expected | undefined,
  { onStage, signal }: OnnxExportOptions,
): Promise<Pick<OnnxExport, "verification" | "unverified">> {
  if (expected === undefined) return { verification: undefined, unverified: "--no-verify" };
  const runtime = await loadOnnxRuntime();
  if (runtime === undefined) {
    const unverified = `onnxruntime-node is not installed (${INSTALL_ONNXRUNTIME}); "hybraid verify" does it later`;
    return { verification: undefined, unverified };
  }
  onStage?.("verifying it in onnxruntime");
  const verification = await verifyOnnxFile(path, expected, runtime, signal);
  if (!verification.ok)
    throw new OnnxError(`${describeFailure(verification)}; nothing was written (--no-verify writes it anyway)`);
  return { verification, unverified: undefined };
}

/** Why a file does not pass. */
export function describeFailure({ path, errors, error, rms, tolerance, facts }: Verification): string {
  const each = Object.entries(errors).map(([check, value]) => `${check} ${value.toExponential(1)}`);
  const what =
    tolerance.of === "rms"
      ? `${rms.toExponential(1)} (root mean squares)`
      : `${error.toExponential(1)} of the largest one`;
  return (
    `${basename(path)}: its logits differ from ours by ${what}, ${tolerance.most} is allowed for ${facts.dtype} ` +
    `(largest errors: ${each.join(", ")})`
  );
}

function summary(verification: Verification | undefined, unverified: string | undefined): object {
  if (verification === undefined) return { verified: false, reason: unverified };
  const { runtime, errors, error, rms, tolerance, top } = verification;
  return { verified: true, runtime, error, rms, tolerance, errors, same_likeliest_token: `${top.same} of ${top.of}` };
}

/** The configuration with what transformers.js must know to load files. */
function withLoading(
  config: Readonly<Record<string, unknown>>,
  file: string,
  shards: readonly string[],
  dtype: string,
): Readonly<Record<string, unknown>> {
  const own = (config["transformers.js_config"] ?? {}) as Readonly<Record<string, unknown>>;
  const before = typeof own.use_external_data_format === "object" ? own.use_external_data_format : {};
  return {
    ...config,
    "transformers.js_config": {
      // What is loaded where nothing is asked for; in browsers it would look for 8 bits.
      ...{ dtype, ...own },
      use_external_data_format: { ...before, [file]: shards.length },
    },
  };
}

/** Tokenizer and generation_config.json. */
async function writeTextFiles(
  from: string,
  to: string,
  spec: ArchitectureSpec,
  config: Readonly<Record<string, unknown>>,
  { bytes }: OnnxExportOptions,
): Promise<string[]> {
  const names = await copyTextFiles(from, to);
  const add = async (name: string, text: string): Promise<void> => {
    if (names.includes(name)) return;
    await writeTextAtomic(join(to, name), text);
    names.push(name);
  };
  if (bytes && !names.includes("tokenizer.json")) {
    const files = byteTokenizerFiles(spec.positions?.max_length);
    for (const [name, text] of Object.entries(files)) await add(name, text);
  }
  if (names.includes("tokenizer.json")) await add("tokenizer_config.json", plainTokenizerConfig());
  const ids = ["bos_token_id", "eos_token_id", "pad_token_id"].filter(
    (name) => typeof config[name] === "number" || Array.isArray(config[name]),
  );
  await add(
    "generation_config.json",
    json({ _from_model_config: true, ...Object.fromEntries(ids.map((name) => [name, config[name]])) }),
  );
  return names;
}

/** config.json of a folder; undefined where there is none. */
async function readConfig(folder: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  const path = join(folder, CONFIG_FILE);
  const text = await readFile(path, "utf8").catch(() => undefined);
  return text === undefined ? undefined : parseConfigJson(text, path);
}

const json = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;
