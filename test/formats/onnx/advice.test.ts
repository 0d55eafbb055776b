// What onnxruntime says about files that it refuses, and what we advise then. The messages are its own, from files that are wrong in
// just one way.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import onnxProto from "onnx-proto";
import { InferenceSession } from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adviceOn } from "../../../src/formats/onnx/node/advice.ts";

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

  it("says nothing about what is not known", () => {
    expect(adviceOn("the moon is full")).toBeUndefined();
  });
});
