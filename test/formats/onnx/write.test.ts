// Exported models on disk: weights beside the graph, shared out over files, nothing stored twice.
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InferenceSession } from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { OnnxError } from "../../../src/formats/onnx/error.ts";
import { buildOnnxModel, type OnnxModel } from "../../../src/formats/onnx/model.ts";
import { writeOnnxModel } from "../../../src/formats/onnx/node/write.ts";
import { loadSpecFile } from "../../../src/spec/node/files.ts";
import { folder, lively } from "../../model/lively.ts";
import { OnnxRun } from "./session.ts";

const tokens = [[3, 1, 4, 1, 5, 9, 2, 6]];

/** A model and how many bytes its weights have. */
function modelOf(file: string): { readonly model: OnnxModel; readonly bytes: number } {
  const spec = loadSpecFile(folder + file);
  const weights = lively(spec);
  const model = buildOnnxModel(spec, (name) => {
    const values = weights.get(name);
    if (values === undefined) throw new Error(`no weight ${name}`);
    return values;
  });
  return { model, bytes: [...weights.values()].reduce((sum, values) => sum + values.byteLength, 0) };
}

describe("an exported model on disk", () => {
  let directory = "";
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "hybraid-onnx-"));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  it("computes the same from files of limited size as from memory, and stores each weight once", async () => {
    const { model, bytes } = modelOf("transformer.yaml");
    const path = join(directory, "model.onnx");
    const largest = Math.max(...model.builder.contents(0).map(({ size }) => size));
    const shards = await writeOnnxModel(model, path, { shardBytes: largest });
    expect(shards.length).toBeGreaterThan(1);
    expect(shards.slice(0, 2)).toEqual(["model.onnx_data", "model.onnx_data_1"]);
    expect((await readdir(directory)).sort()).toEqual(["model.onnx", ...shards].sort());
    const sizes = await Promise.all(shards.map(async (name) => (await stat(join(directory, name))).size));
    for (const size of sizes) expect(size).toBeLessThanOrEqual(largest);
    // Weights and 1%: a table stored twice would be far more.
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(1.01 * bytes);

    const fromMemory = await OnnxRun.open(model, 1);
    const fromDisk = OnnxRun.over(await InferenceSession.create(path, { logSeverityLevel: 3 }), model, 1);
    const expected = await fromMemory.forward(tokens);
    expect(expected.length).toBeGreaterThan(0);
    expect(await fromDisk.forward(tokens)).toEqual(expected);
    await fromMemory.close();
    await fromDisk.close();
  });

  it.each(["transformer.yaml", "mixtral.yaml"])(
    "reads each weight of %s once, tables and experts in blocks too",
    async (file) => {
      const spec = loadSpecFile(folder + file);
      const weights = lively(spec);
      const reads = new Map<string, number>();
      const model = buildOnnxModel(
        spec,
        (name) => {
          reads.set(name, (reads.get(name) ?? 0) + 1);
          return weights.get(name) ?? new Float32Array();
        },
        { storage: { quantise: { bits: 4, block: 16, symmetric: true } } },
      );
      await writeOnnxModel(model, join(directory, `once-${file}.onnx`));
      expect([...reads.keys()].sort()).toEqual([...weights.keys()].sort());
      expect([...reads].filter(([, count]) => count !== 1)).toEqual([]);
    },
  );

  it("refuses a limit that a single weight exceeds", async () => {
    const { model } = modelOf("transformer.yaml");
    const refused = writeOnnxModel(model, join(directory, "small.onnx"), { shardBytes: 2048 });
    await expect(refused).rejects.toThrow(OnnxError);
    expect((await readdir(directory)).filter((name) => name.startsWith("small"))).toEqual([]);
  });

  it("names its states as transformers.js does", () => {
    const { model } = modelOf("nemotron-h.yaml");
    const names = model.states.map(({ past, present }) => `${past} ${present}`);
    expect(names.some((name) => /^past_conv\.\d+ present_conv\.\d+$/.test(name))).toBe(true);
    expect(names.some((name) => /^past_ssm\.\d+ present_ssm\.\d+$/.test(name))).toBe(true);
    expect(names.some((name) => /^past_key_values\.\d+\.key present\.\d+\.key$/.test(name))).toBe(true);
    expect(names.some((name) => /^past_key_values\.\d+\.value present\.\d+\.value$/.test(name))).toBe(true);
    expect(names.every((name) => /^past_(conv|ssm|key_values)\.\d+/.test(name))).toBe(true);
  });
});
