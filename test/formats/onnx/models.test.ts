// Architectures as whole models in onnxruntime: the same logits as our runtime gives for a full pass, for a prompt and single
// tokens after it, and for rows of which one is padded.
import { afterAll, describe, expect, it } from "vitest";
import { buildOnnxModel, type OnnxModel } from "../../../src/formats/onnx/model.ts";
import { createModel, type Model } from "../../../src/model/model.ts";
import type { Runtime } from "../../../src/runtime/types.ts";
import { createWasmRuntime } from "../../../src/runtime/wasm/runtime.ts";
import { loadSpecFile } from "../../../src/spec/node/files.ts";
import { files, folder, lively, toleranceOf } from "../../model/lively.ts";
import { generator } from "../../ops/harness.ts";
import { expectClose } from "./check.ts";
import { OnnxRun } from "./session.ts";

/** Why a file can't be exported. */
const notYet: Readonly<Record<string, RegExp>> = {
  "hymba.yaml": /reads 5 learned tokens before the first one/,
  "rwkv.yaml": /wkv in layers\.0\.mixer can't be written in ONNX/,
  "s4d.yaml": /diagonal_scan in layers\.0\.mixer can't be written in ONNX/,
};

const LENGTH = 21;
const STEPS = 8;
const PADDING = 3;

let shared: Promise<Runtime> | undefined;
const wasm = (): Promise<Runtime> => {
  shared ??= createWasmRuntime({ threads: 1 });
  return shared;
};
afterAll(async () => (await shared)?.close());

describe.each(files.filter((file) => notYet[file] === undefined))("%s", (file) => {
  const spec = loadSpecFile(folder + file);
  const tolerance = 5 * toleranceOf(spec);
  const draw = generator(5);
  const total = LENGTH + STEPS;
  const rows = [0, 1].map(() => Array.from({ length: total }, () => Math.floor(draw() * spec.vocab_size)));
  const width = spec.vocab_size;
  let exported: OnnxModel;
  let model: Model;
  /** [2, total, vocabulary] */
  let whole: Float32Array;

  it("gives the same logits in a full pass", async () => {
    const weights = lively(spec);
    model = await createModel(spec, { runtime: await wasm(), weights });
    exported = buildOnnxModel(spec, (name) => {
      const values = weights.get(name);
      if (values === undefined) throw new Error(`no weight ${name}`);
      return values;
    });
    whole = (await model.forward(rows)).logits;
    for (const name of ["Loop", "Scan", "If"]) expect(exported.builder.operators().has(name), name).toBe(false);
    const run = await OnnxRun.open(exported, 2);
    expectClose("logits", await run.forward(rows), whole, tolerance);
    await run.close();
  });

  it("gives the same logits for a prompt and single tokens after it, one row padded", async () => {
    const run = await OnnxRun.open(exported, 2);
    // The second row starts later: its first tokens are not read.
    const short = (rows[1] ?? []).slice(PADDING);
    const alone = (await model.forward(short)).logits;
    const check = (logits: Float32Array, start: number, length: number): void => {
      const half = length * width;
      expectClose(
        `row 0 at ${start}`,
        logits.subarray(0, half),
        whole.subarray(start * width, (start + length) * width),
        tolerance,
      );
      const from = Math.max(start, PADDING);
      expectClose(
        `row 1 at ${from}`,
        logits.subarray(half + (from - start) * width),
        alone.subarray((from - PADDING) * width, (start + length - PADDING) * width),
        tolerance,
      );
    };
    check(
      await run.forward(
        rows.map((row) => row.slice(0, LENGTH)),
        [0, PADDING],
      ),
      0,
      LENGTH,
    );
    for (let t = LENGTH; t < total; t++) check(await run.forward(rows.map((row) => row.slice(t, t + 1))), t, 1);
    await run.close();
  });
});

describe("a model that gives the logits of the last position only", () => {
  it("gives those", async () => {
    const spec = loadSpecFile(`${folder}samba.yaml`);
    const weights = lively(spec);
    const read = (name: string): Float32Array => weights.get(name) ?? new Float32Array();
    const runs = await Promise.all(
      (["all", "last"] as const).map((logits) => OnnxRun.open(buildOnnxModel(spec, read, { logits }), 1)),
    );
    const [all, last] = await Promise.all(runs.map((run) => run.forward([[1, 2, 3, 4, 5]])));
    expect(last?.length).toBe(spec.vocab_size);
    expectClose("last", last ?? [], Array.from(all ?? []).slice(-spec.vocab_size), 1e-6);
    for (const run of runs) await run.close();
  });
});

describe("architectures that can't be exported yet", () => {
  it.each(Object.entries(notYet))("%s says why", (file, reason) => {
    expect(() => buildOnnxModel(loadSpecFile(folder + file), () => new Float32Array())).toThrow(reason);
  });
});
