// hybraid export MODEL --format onnx: a model as a folder that onnxruntime and transformers.js open.
import { statSync } from "node:fs";
import { type Dialect, dialectFacts } from "../formats/onnx/lowering.ts";
import type { Verification } from "../formats/onnx/node/verify.ts";
import type { StorageOptions } from "../formats/onnx/storage.ts";
import { exportOnnx, type OnnxExport } from "../model/node/onnx.ts";
import { InputError } from "./program.ts";
import { createStages, interruptible } from "./stages.ts";
import { readsBytes } from "./tokenizer.ts";
import { hybraidVersion } from "./version.ts";

export interface OnnxExportCommandOptions {
  readonly out: string;
  readonly dialect?: Dialect;
  readonly logits?: "all" | "last";
  readonly storage?: StorageOptions;
  readonly name?: string;
  readonly verify?: boolean;
  readonly json?: boolean;
}

/** Writes the folder, verifies it, and says what is in it. */
export async function exportOnnxModel(folder: string, options: OnnxExportCommandOptions): Promise<void> {
  const { out, dialect = "ort", logits = "all", storage, name = "model", verify = true, json = false } = options;
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new InputError(`${folder}: no such folder`);
  if (!/^[\w.-]+$/.test(name)) throw new InputError(`--name: "${name}" is no name; allowed: letters, digits and . _ -`);
  const start = performance.now();
  const stages = createStages(process.stderr);
  const bytes = readsBytes(folder);
  const version = hybraidVersion();
  let result: OnnxExport;
  try {
    result = await interruptible((signal) =>
      exportOnnx(folder, out, { dialect, logits, storage, name, verify, bytes, version, signal, onStage: stages.show }),
    );
  } finally {
    stages.end();
  }
  const seconds = (performance.now() - start) / 1000;
  process.stdout.write(
    json ? `${JSON.stringify(report(options, result, seconds), null, 2)}\n` : text(out, dialect, result, seconds),
  );
}

function report({ out, dialect = "ort" }: OnnxExportCommandOptions, result: OnnxExport, seconds: number): object {
  const { files, bytes, textFiles, verification, unverified, transformersJs } = result;
  return {
    out,
    dialect,
    dtype: result.dataType,
    files,
    bytes,
    text_files: textFiles,
    verification: verification === undefined ? { skipped: unverified } : verificationReport(verification),
    transformers_js: { model_type: transformersJs.modelType, obstacle: transformersJs.obstacle ?? null },
    seconds,
  };
}

function text(out: string, dialect: Dialect, result: OnnxExport, seconds: number): string {
  const { files, bytes, textFiles, verification, unverified, transformersJs } = result;
  const lines = [
    `${out}: ${files.join(", ")}; ${result.dataType}, dialect ${dialect} (${dialectFacts[dialect].description}), ${bytes.toLocaleString("en")} bytes in ${seconds.toFixed(1)} s`,
    verification === undefined ? `not verified: ${unverified}` : describeVerification(verification),
    transformersJs.obstacle === undefined
      ? `transformers.js runs it as ${transformersJs.modelType}`
      : `not for transformers.js: ${transformersJs.obstacle}`,
    ...(textFiles.length === 0 ? [] : [`with ${textFiles.join(", ")}`]),
  ];
  return `${lines.join("\n")}\n`;
}

/** One line on what a verification found. */
export function describeVerification({ runtime, error, rms, tolerance, top, ok }: Verification): string {
  const largest = `largest error ${error.toExponential(1)} of the largest logit`;
  const what =
    tolerance.of === "rms"
      ? `root mean square error ${rms.toExponential(1)} of that of the logits (allowed ${tolerance.most}), ${largest}`
      : `${largest} (allowed ${tolerance.most})`;
  return `${ok ? "verified with" : "DIFFERS in"} ${runtime}: ${what}, the same likeliest token at ${top.same} of ${top.of} positions`;
}

/** The same for --json. */
export function verificationReport({ path: _path, facts, ...rest }: Verification): object {
  const { runtime, errors, error, rms, tolerance, top, sessionSeconds, ok } = rest;
  const { dialect, dtype, opset } = facts;
  return {
    ok,
    dialect,
    dtype,
    opset,
    runtime,
    error,
    rms,
    tolerance,
    errors,
    same_likeliest_token: top,
    session_seconds: sessionSeconds,
  };
}
