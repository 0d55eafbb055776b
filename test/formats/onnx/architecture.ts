// Runs an architecture file as a whole model in onnxruntime and expects the logits of the references, which compute in
// float64.

import type { Dialect } from "../../../src/formats/onnx/lowering.ts";
import { buildOnnxModel, type OnnxModel } from "../../../src/formats/onnx/model.ts";
import { createModel } from "../../../src/model/model.ts";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import { loadSpecFile } from "../../../src/spec/node/files.ts";
import { folder, lively, toleranceOf } from "../../model/lively.ts";
import { generator } from "../../ops/harness.ts";
import { expectClose } from "./check.ts";
import { OnnxRun } from "./session.ts";

const LENGTH = 21;
const STEPS = 8;
const PADDING = 3;

const runtime = createReferenceRuntime();
export const closeRuntime = (): Promise<void> => runtime.close();

/**
 * A full pass of two rows; then a prompt and single tokens after it, of which the second row's first tokens are padding. Returns
 * the exported model.
 */
export async function checkArchitecture(file: string, dialect: Dialect): Promise<OnnxModel> {
  const spec = loadSpecFile(folder + file);
  // In retnet, which is ill-conditioned, our own f32 runtime is 1.4e-4 off.
  const tolerance = 10 * toleranceOf(spec);
  const draw = generator(5);
  const total = LENGTH + STEPS;
  const rows = [0, 1].map(() => Array.from({ length: total }, () => Math.floor(draw() * spec.vocab_size)));
  const width = spec.vocab_size;
  const weights = lively(spec);
  const model = await createModel(spec, { runtime, weights });
  const exported = buildOnnxModel(
    spec,
    (name) => {
      const values = weights.get(name);
      if (values === undefined) throw new Error(`no weight ${name}`);
      return values;
    },
    { dialect },
  );
  const whole = (await model.forward(rows)).logits;
  const full = await OnnxRun.open(exported, 2);
  expectClose("logits", await full.forward(rows), whole, tolerance);
  await full.close();

  const run = await OnnxRun.open(exported, 2);
  const alone = (await model.forward((rows[1] ?? []).slice(PADDING))).logits;
  const check = (logits: Float32Array, start: number, length: number): void => {
    const half = length * width;
    const first = whole.subarray(start * width, (start + length) * width);
    expectClose(`row 0 at ${start}`, logits.subarray(0, half), first, tolerance);
    const from = Math.max(start, PADDING);
    const second = alone.subarray((from - PADDING) * width, (start + length - PADDING) * width);
    expectClose(`row 1 at ${from}`, logits.subarray(half + (from - start) * width), second, tolerance);
  };
  const prompt = rows.map((row) => row.slice(0, LENGTH));
  check(await run.forward(prompt, [0, PADDING]), 0, LENGTH);
  for (let t = LENGTH; t < total; t++) check(await run.forward(rows.map((row) => row.slice(t, t + 1))), t, 1);
  await run.close();
  return exported;
}
