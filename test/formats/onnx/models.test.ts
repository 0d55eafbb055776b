// Architectures as whole models in onnxruntime, in each dialect: the logits of the references, which compute in float64, for a full
// pass, for a prompt and single tokens after it, and for rows of which one is padded.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dialects, present } from "../../../src/formats/onnx/lowering.ts";
import { buildOnnxModel } from "../../../src/formats/onnx/model.ts";
import { createModel } from "../../../src/model/create.ts";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import { loadSpecFile } from "../../../src/spec/node/files.ts";
import { files, folder, lively, toleranceOf } from "../../model/lively.ts";
import { generator } from "../../ops/harness.ts";
import { expectClose } from "./check.ts";
import { checkDialect, checkShapes } from "./dialect.ts";
import { OnnxRun } from "./session.ts";

/** Why a file can't be exported. */
const notYet: Readonly<Record<string, RegExp>> = {
  "hymba.yaml": /reads 5 learned tokens before the first one/,
};

/** RetNet normalises outputs that are near zero, so that what is lost in f32 grows. */
const factors: Readonly<Record<string, number>> = { "retnet.yaml": 10 };
const LENGTH = 21;
const STEPS = 8;
const PADDING = 3;

const runtime = createReferenceRuntime();
afterAll(() => runtime.close());

describe.each(files.filter((file) => notYet[file] === undefined))("%s", (file) => {
  const spec = loadSpecFile(folder + file);
  const tolerance = (factors[file] ?? 5) * toleranceOf(spec);
  const draw = generator(5);
  const total = LENGTH + STEPS;
  const rows = [0, 1].map(() => Array.from({ length: total }, () => Math.floor(draw() * spec.vocab_size)));
  // The second row starts later: its first tokens are not read.
  const short = (rows[1] ?? []).slice(PADDING);
  const width = spec.vocab_size;
  const weights = lively(spec);
  /** Of the references: [2, total, vocabulary], and of the second row without its padding. */
  let whole: Float32Array;
  let alone: Float32Array;

  beforeAll(async () => {
    const model = await createModel(spec, { runtime, weights });
    whole = (await model.forward(rows)).logits;
    alone = (await model.forward(short)).logits;
  });

  it.each(dialects)(
    "gives the same logits in %s: of a full pass, and of a prompt and single tokens",
    async (dialect) => {
      const exported = buildOnnxModel(spec, (name) => present(weights.get(name), name), { dialect });
      checkDialect(exported);
      const first = await OnnxRun.open(exported, 2);
      expectClose("full pass", await first.forward(rows), whole, tolerance);

      // The second row is padded.
      const run = first.again();
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
      const prompt = rows.map((row) => row.slice(0, LENGTH));
      check(await run.forward(prompt, [0, PADDING]), 0, LENGTH);
      for (let t = LENGTH; t < total; t++) check(await run.forward(rows.map((row) => row.slice(t, t + 1))), t, 1);
      await run.close();
      // Shapes of what is written by standard operators alone.
      if (dialect === "onnx" || dialect === "portable") await checkShapes(exported);
    },
  );
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
