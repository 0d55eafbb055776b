// hybraid verify DIR: has onnxruntime compute what an exported model must, and compares.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { EXPECTED_FILE, readExpected } from "../formats/onnx/node/expected.ts";
import { INSTALL_ONNXRUNTIME, loadOnnxRuntime } from "../formats/onnx/node/runtime.ts";
import { type Verification, verifyOnnxFile } from "../formats/onnx/node/verify.ts";
import { expectedOfFolder, ONNX_FOLDER } from "../model/node/onnx.ts";
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

async function run(folder: string, { model, json = false }: VerifyCommandOptions): Promise<void> {
  const graphs = existsSync(join(folder, ONNX_FOLDER))
    ? readdirSync(join(folder, ONNX_FOLDER)).filter((name) => name.endsWith(".onnx"))
    : [];
  if (graphs.length === 0) throw new InputError(`${folder}: no .onnx file in ${folder}/${ONNX_FOLDER}, so no export`);
  if (model === undefined && !existsSync(join(folder, EXPECTED_FILE)))
    throw new InputError(
      `${folder}: no ${EXPECTED_FILE}: exported with --no-verify; --model names the model it came from`,
    );
  const runtime = await loadOnnxRuntime();
  if (runtime === undefined) throw new InputError(`verifying needs onnxruntime-node: ${INSTALL_ONNXRUNTIME}`);
  const expected =
    model === undefined ? await readExpected(join(folder, EXPECTED_FILE)) : await expectedOfFolder(model);
  const found: Verification[] = [];
  await interruptible(async (signal) => {
    for (const name of graphs.sort()) {
      const verification = await verifyOnnxFile(join(folder, ONNX_FOLDER, name), expected, runtime, signal);
      found.push(verification);
      if (!json)
        process.stdout.write(
          `${ONNX_FOLDER}/${name} (${verification.facts.dialect}, ${verification.facts.dtype}): ${describeVerification(verification)}\n`,
        );
    }
  });
  if (json) {
    const files = Object.fromEntries(found.map((one, i) => [`${ONNX_FOLDER}/${graphs[i]}`, verificationReport(one)]));
    process.stdout.write(`${JSON.stringify(files, null, 2)}\n`);
  }
  if (found.some(({ ok }) => !ok)) process.exitCode = EXIT.input;
}
