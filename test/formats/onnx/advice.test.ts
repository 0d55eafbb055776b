// What onnxruntime says about files and calls that it refuses, and what we advise then. The messages are its own, from files that are
// wrong in just one way, and from calls of models that are right.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import onnxProto from "onnx-proto";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildForward } from "../../../src/blocks/model.ts";
import { buildOnnxModel } from "../../../src/formats/onnx/model.ts";
import { adviceOn } from "../../../src/formats/onnx/node/advice.ts";
import { OnnxRun } from "../../../src/formats/onnx/node/session.ts";
import { initialiseParameters } from "../../../src/model/initialise.ts";
import { required } from "../../../src/ops/types.ts";
import { loadSpecFile } from "../../../src/spec/node/files.ts";
import { buildOnnxTraining } from "../../../src/train/onnx.ts";

const { onnx } = onnxProto;
const folder = mkdtempSync(join(tmpdir(), "hybraid-advice-"));
const before = process.env.ALLOW_RELEASED_ONNX_OPSET_ONLY;
beforeAll(() => {
  delete process.env.ALLOW_RELEASED_ONNX_OPSET_ONLY;
});
afterAll(() => {
  if (before !== undefined) process.env.ALLOW_RELEASED_ONNX_OPSET_ONLY = before;
  rmSync(folder, { recursive: true });
});

interface Wrong {
  readonly opset?: number;
  readonly irVersion?: number;
  readonly op?: string;
  readonly domain?: string;
  readonly elementType?: number;
  /** A second operand, in this file. */
  readonly location?: string;
}

/** A file with one node. */
function file({ opset = 17, irVersion = 8, op = "Relu", domain = "", elementType = 1, location }: Wrong): Uint8Array {
  const type = { tensorType: { elemType: elementType, shape: { dim: [{ dimValue: 2 }] } } };
  const external = { offset: "0", length: "8", location: location ?? "" };
  const weight = {
    ...{ name: "w", dims: [2], dataType: 1, dataLocation: 1 },
    externalData: Object.entries(external).map(([key, value]) => ({ key, value })),
  };
  const model = onnx.ModelProto.fromObject({
    irVersion,
    opsetImport: [{ version: opset }, { domain: "com.microsoft", version: 1 }, { domain: "other", version: 1 }],
    graph: {
      name: "model",
      node: [{ name: "n", opType: op, domain, input: location === undefined ? ["x"] : ["x", "w"], output: ["y"] }],
      input: [{ name: "x", type }],
      output: [{ name: "y", type: { tensorType: { elemType: elementType } } }],
      initializer: location === undefined ? [] : [weight],
    },
  });
  return onnx.ModelProto.encode(model).finish();
}

async function refusal(content: Uint8Array): Promise<string> {
  const path = join(folder, "model.onnx");
  writeFileSync(path, content);
  try {
    await InferenceSession.create(path, { logSeverityLevel: 4 });
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("onnxruntime takes it");
}

describe("advice on what onnxruntime refuses", () => {
  it.each<{ what: string; wrong: Wrong; dialect?: string; advice: RegExp }>([
    {
      what: "an opset that it waits for",
      wrong: { opset: 27, irVersion: 13 },
      advice: /opset 27 only with .*=0; .*--dialect ort/,
    },
    { what: "a newer file format", wrong: { irVersion: 99 }, advice: /older than version 99 .*--dialect portable/ },
    {
      what: "a newer standard operator",
      wrong: { op: "LinearAttention" },
      dialect: "onnx",
      advice: /operator LinearAttention; --dialect ort/,
    },
    {
      what: "one of its own that it lacks",
      wrong: { op: "Newest", domain: "com.microsoft" },
      dialect: "ort",
      advice: /own operator Newest.*--dialect portable/,
    },
    {
      what: "somebody else's operator",
      wrong: { op: "Theirs", domain: "other" },
      advice: /other:Theirs .* not exported from here/,
    },
    {
      what: "an operator without a kernel",
      wrong: { op: "Tan", elementType: 11 },
      dialect: "ort",
      advice: /can't compute Tan .*--dialect portable/,
    },
    {
      what: "weights that are not there",
      wrong: { op: "Add", location: "absent_data" },
      advice: /must lie beside the graph: .*absent_data/,
    },
    { what: "weights cut off", wrong: { op: "Add", location: "short_data" }, advice: /shorter than w needs/ },
  ])("tells what to do about $what", async ({ wrong, dialect, advice }) => {
    writeFileSync(join(folder, "short_data"), new Uint8Array(4));
    expect(adviceOn(await refusal(file(wrong)), dialect)).toMatch(advice);
  });

  it("tells that a file is no model", async () => {
    expect(adviceOn(await refusal(new TextEncoder().encode("hello")))).toMatch(/no ONNX model/);
  });

  describe("about a call of a model that is there", () => {
    const spec = loadSpecFile("architectures/gpt2.yaml");
    const weights = initialiseParameters(buildForward(spec, { stateful: true }), 1);
    const weight = (name: string): Float32Array => required(weights.get(name), name);
    const quiet = { logSeverityLevel: 4 } as const;
    let session: InferenceSession;
    beforeAll(async () => {
      session = await InferenceSession.create(buildOnnxModel(spec, weight).encode(), quiet);
    });
    afterAll(() => session.release());

    /** What onnxruntime says about one of several calls, each of which gives every row its next tokens. */
    async function complaint(...calls: readonly (readonly number[][])[]): Promise<string> {
      const loud = session.run.bind(session);
      const run = new OnnxRun(
        { Tensor },
        Object.assign(Object.create(session), { run: (feed: InferenceSession.FeedsType) => loud(feed, quiet) }),
        calls[0]?.length ?? 0,
      );
      try {
        for (const rows of calls) await run.forward(rows);
      } catch (error) {
        return (error as Error).message;
      }
      return "";
    }

    it("tells how rows go on that have several tokens more", async () => {
      const message = await complaint(
        [
          [1, 2],
          [3, 4],
        ],
        [
          [5, 6],
          [7, 8],
        ],
      );
      expect(message).toContain("batch_size must be 1 when sequence_length > 1 and past context is given");
      expect(adviceOn(message, "ort")).toMatch(/single tokens after it, or one row at a time; --dialect onnx/);
      expect(await complaint([[1, 2]], [[5, 6]])).toBe("");
      expect(
        await complaint(
          [
            [1, 2],
            [3, 4],
          ],
          [[5], [7]],
        ),
      ).toBe("");
    });

    it("tells that a token is not in the vocabulary, or a position beyond those learned", async () => {
      expect(adviceOn(await complaint([[1, spec.vocab_size]]))).toMatch(/^256 is no token/);
      const most = required(spec.positions?.max_length, "positions");
      expect(adviceOn(await complaint([new Array<number>(most + 1).fill(1)]))).toMatch(/512 is .*a position beyond/);
    });
  });

  it("tells how many tokens a row of a training step has", async () => {
    const spec = loadSpecFile("architectures/mamba.yaml");
    const weights = initialiseParameters(buildForward(spec, { stateful: true }), 1);
    const step = buildOnnxTraining(spec, (name) => required(weights.get(name), name), {
      longest: 7,
      trainable: () => false,
    });
    const session = await InferenceSession.create(step.encode(), { logSeverityLevel: 4 });
    const run = (length: number): Promise<unknown> => {
      const ids = new Tensor("int64", new BigInt64Array(length), [1, length]);
      return session.run({ input_ids: ids, labels: ids }, { logSeverityLevel: 4 });
    };
    await run(7);
    for (const length of [8, 30]) {
      const error = await run(length).catch((cause: Error) => cause);
      expect(adviceOn((error as Error).message, "portable")).toMatch(
        /^sizes don't fit at layers\.0\.mixer\/.* more tokens than .*131,071; in a training step 4,096\)/,
      );
    }
    await session.release();
  });

  it("says nothing about what is not known", () => {
    expect(adviceOn("the moon is full")).toBeUndefined();
  });
});
