// hybraid verify DIR: has onnxruntime compute what an exported model must, and compares.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { EXPECTED_FILE, type Expected, readExpected } from "../formats/onnx/node/expected.ts";
import { readOnnxFile } from "../formats/onnx/node/file.ts";
import { INSTALL_ONNXRUNTIME, loadOnnxRuntime, type OnnxRuntime } from "../formats/onnx/node/runtime.ts";
import { verifyOnnxFile } from "../formats/onnx/node/verify.ts";
import { openModel } from "../model/node/files.ts";
import { expectedOfFolder, ONNX_FOLDER } from "../model/node/onnx.ts";
import { describeTraining, verifyTraining } from "../train/node/onnx.ts";
import { describeVerification, verificationReport } from "./export-onnx.ts";
import { EXIT, InputError } from "./program.ts";
import { interruptible } from "./stages.ts";

interface VerifyCommandOptions {
  readonly model?: string;
  readonly json?: boolean;
}

/** Adds the command to the program. */
export function register(program: Command): void {
  program
    .command("verify")
    .description("compare an ONNX export with what this program computes")
    .argument("<folder>", "folder that export --format onnx wrote")
    .option("--model <folder>", `compare with this model; default: with ${EXPECTED_FILE}, written when it was exported`)
    .option("--json", "print one JSON object")
    .action((folder: string, options: VerifyCommandOptions) => run(folder, options));
}

/** What was found of one graph. */
interface Found {
  readonly graph: string;
  readonly ok: boolean;
  readonly text: string;
  readonly report: object;
}

async function run(folder: string, { model, json = false }: VerifyCommandOptions): Promise<void> {
  const inside = join(folder, ONNX_FOLDER);
  const graphs = existsSync(inside) ? readdirSync(inside).filter((name) => name.endsWith(".onnx")) : [];
  if (graphs.length === 0) throw new InputError(`${folder}: no .onnx file in ${inside}, so no export`);
  const runtime = await loadOnnxRuntime();
  if (runtime === undefined) throw new InputError(`verifying needs onnxruntime-node: ${INSTALL_ONNXRUNTIME}`);
  let expected: Expected | undefined;
  const found: Found[] = [];
  await interruptible(async (signal) => {
    for (const graph of graphs.sort()) {
      const path = join(inside, graph);
      const { kind } = await readOnnxFile(path);
      if (kind === "training") found.push(await verifyStep(path, graph, model ?? folder, runtime));
      else {
        expected ??= await expectedFor(folder, model);
        const verification = await verifyOnnxFile(path, expected, runtime, signal);
        const { dialect, dtype } = verification.facts;
        const text = `${dialect}, ${dtype}: ${describeVerification(verification)}`;
        found.push({ graph, ok: verification.ok, text, report: verificationReport(verification) });
      }
      const last = found.at(-1);
      if (!json && last !== undefined) process.stdout.write(`${ONNX_FOLDER}/${last.graph}: ${last.text}\n`);
    }
  });
  if (json) {
    const files = Object.fromEntries(found.map(({ graph, report }) => [`${ONNX_FOLDER}/${graph}`, report]));
    process.stdout.write(`${JSON.stringify(files, null, 2)}\n`);
  }
  if (found.some(({ ok }) => !ok)) process.exitCode = EXIT.input;
}

async function expectedFor(folder: string, model: string | undefined): Promise<Expected> {
  if (model !== undefined) return expectedOfFolder(model);
  const path = join(folder, EXPECTED_FILE);
  if (existsSync(path)) return readExpected(path);
  throw new InputError(
    `${folder}: no ${EXPECTED_FILE}: exported with --no-verify; --model names the model it came from`,
  );
}

/** A training step with the weights of a model, by default those beside it. */
async function verifyStep(path: string, graph: string, model: string, runtime: OnnxRuntime): Promise<Found> {
  const { spec, weights, close } = await openModel(model);
  try {
    const verification = await verifyTraining(path, spec, weights, runtime);
    return { graph, ok: verification.ok, text: `training: ${describeTraining(verification)}`, report: verification };
  } finally {
    await close();
  }
}
