// hybraid export MODEL --format onnx --training: loss and gradients as one ONNX graph.
import { statSync } from "node:fs";
import { describeTraining, exportOnnxTraining, type TrainingExport } from "../train/node/onnx.ts";
import { InputError } from "./program.ts";
import { createStages, interruptible } from "./stages.ts";
import { hybraidVersion } from "./version.ts";

export interface TrainingExportCommandOptions {
  readonly out: string;
  readonly verify?: boolean;
  readonly json?: boolean;
}

/** Writes the folder, verifies it, and says what is in it. */
export async function exportTraining(
  folder: string,
  { out, verify = true, json = false }: TrainingExportCommandOptions,
): Promise<void> {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new InputError(`${folder}: no such folder`);
  const stages = createStages(process.stderr);
  let result: TrainingExport;
  try {
    result = await interruptible((signal) =>
      exportOnnxTraining(folder, out, { verify, version: hybraidVersion(), signal, onStage: stages.show }),
    );
  } finally {
    stages.end();
  }
  const { files, bytes, textFiles, verification, unverified } = result;
  if (json) {
    const report = { out, files, bytes, text_files: textFiles, verification: verification ?? { skipped: unverified } };
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
    return;
  }
  const lines = [
    `${out}: ${files.join(", ")}; the training step, dialect portable, ${bytes.toLocaleString("en")} bytes`,
    verification === undefined ? `not verified: ${unverified}` : describeTraining(verification),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}
