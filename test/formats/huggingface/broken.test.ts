// What is wrong with a checkpoint is said, all at once and by name; whatever it is, no folder is left behind, nothing hangs
// and nothing else than an error of ours is thrown.
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HuggingFaceError } from "../../../src/formats/huggingface/error.ts";
import { convertConfig } from "../../../src/formats/huggingface/import.ts";
import { parseConfigJson } from "../../../src/formats/huggingface/json.ts";
import { openHuggingFace } from "../../../src/formats/huggingface/node/folder.ts";
import { fromFloat32 } from "../../../src/formats/safetensors/dtype.ts";
import { SafetensorsError, type TensorToWrite } from "../../../src/formats/safetensors/index.ts";
import { writeSafetensorsFile } from "../../../src/formats/safetensors/node/file.ts";
import { importFolder } from "../../../src/model/node/huggingface.ts";
import { generator } from "../../ops/harness.ts";
import { cases, folderOf } from "./cases.ts";
import { type Config, randomTensors } from "./random.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "hybraid-broken-"));
});
afterAll(() => rm(folder, { recursive: true }));

const configOf = async (name: string): Promise<Config> =>
  parseConfigJson(await readFile(join(folderOf(name), "config.json"), "utf8"), "config.json");

/** A folder with these files; objects are written as JSON, lists of tensors as safetensors. */
async function checkpoint(name: string, files: Readonly<Record<string, object | string>>): Promise<string> {
  const path = join(folder, name);
  await rm(path, { recursive: true, force: true });
  await mkdir(path);
  for (const [file, content] of Object.entries(files)) {
    if (Array.isArray(content)) await writeSafetensorsFile(join(path, file), content as TensorToWrite[]);
    else await writeFile(join(path, file), typeof content === "string" ? content : JSON.stringify(content));
  }
  return path;
}

/** The message of a failed import, which has left nothing behind. */
async function failure(path: string): Promise<string> {
  const out = join(folder, "out");
  const before = await readdir(folder);
  const error = await importFolder(path, out).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error instanceof HuggingFaceError || error instanceof SafetensorsError, String(error)).toBe(true);
  expect(await readdir(folder)).toEqual(before);
  return (error as Error).message;
}

describe("a checkpoint with something wrong", () => {
  it("lists missing tensors, unknown ones and wrong shapes together", async () => {
    const config = await configOf("llama");
    const tensors = randomTensors(config)
      .filter(({ name }) => !name.includes("layers.1.mlp.up_proj"))
      .map((one) => (one.name === "model.norm.weight" ? { ...one, shape: [4, 8] } : one));
    const extra = { name: "model.layers.0.extra.weight", dtype: "F32" as const, shape: [1], data: new Float32Array(1) };
    const path = await checkpoint("wrong", { "config.json": config, "model.safetensors": [...tensors, extra] });
    const message = await failure(path);
    expect(message).toContain("1 tensor is missing: model.layers.1.mlp.up_proj.weight");
    expect(message).toContain("1 tensor has no place in this architecture: model.layers.0.extra.weight");
    expect(message).toContain('tensor "model.norm.weight" is [4, 8], the configuration makes it [32]');
  });

  it("names fields that are not known or not supported, each with what is allowed", async () => {
    const config = {
      ...(await configOf("llama")),
      hidden_act: "mish",
      num_key_value_heads: 0,
      rotary_base: 3,
      head_dims: 8,
    };
    const path = await checkpoint("fields", {
      "config.json": config,
      "model.safetensors": randomTensors(await configOf("llama")),
    });
    const message = await failure(path);
    expect(message).toContain('hidden_act: "mish" is not supported; allowed: silu, swish, gelu');
    expect(message).toContain("num_key_value_heads: 0; allowed: a whole number from 1");
    expect(message).toContain("rotary_base: not a field that is known for this model, so its meaning would be lost");
    expect(message).toContain("head_dims: not a field that is known");
    const { imported, close } = await openHuggingFace(
      await checkpoint("ignored", {
        "config.json": { ...(await configOf("llama")), rotary_base: 3 },
        "model.safetensors": randomTensors(await configOf("llama")),
      }),
      { ignoreFields: ["rotary_base"] },
    );
    expect(imported.modelType).toBe("llama");
    await close();
  });

  it.each([
    ["falcon_h2", 'model_type: "falcon_h2" is not supported; did you mean "falcon_h1"?'],
    ["lama", 'did you mean "llama"?'],
    ["bert", 'model_type: "bert" is not supported; supported: mamba, falcon_mamba'],
    [null, "model_type: null; allowed: mamba"],
    [7, "model_type: 7; allowed: mamba"],
  ])("answers the model_type %j", async (type, expected) => {
    const path = await checkpoint("type", { "config.json": { model_type: type }, "model.safetensors": [] });
    expect(await failure(path)).toContain(expected);
  });

  it("refuses quantised weights and tensors of integers", async () => {
    const config = await configOf("llama");
    const quantised = { ...config, quantization_config: { quant_method: "gptq" } };
    const tensors = randomTensors(config);
    expect(await failure(await checkpoint("q", { "config.json": quantised, "model.safetensors": tensors }))).toContain(
      "quantised checkpoints are not supported",
    );
    const integers = tensors.map((one, i) =>
      i === 0 ? { ...one, dtype: "I32" as const, data: new Int32Array(97 * 32) } : one,
    );
    expect(await failure(await checkpoint("i", { "config.json": config, "model.safetensors": integers }))).toContain(
      "has dtype I32; allowed: F64, F32, F16, BF16",
    );
  });

  it("says what is not there", async () => {
    const config = await configOf("llama");
    expect(await failure(join(folder, "nowhere"))).toContain("config.json: no such file");
    expect(await failure(await checkpoint("bin", { "config.json": config, "pytorch_model.bin": "x" }))).toContain(
      "it has pytorch_model.bin, and only safetensors",
    );
    expect(await failure(await checkpoint("json", { "config.json": "{", "model.safetensors": [] }))).toContain(
      "not JSON",
    );
    expect(await failure(await checkpoint("list", { "config.json": "[1]", "model.safetensors": [] }))).toContain(
      "not a JSON object",
    );
  });

  it("does not follow an index out of the folder, nor believe what it says of files", async () => {
    const config = await configOf("llama");
    const [first, ...rest] = randomTensors(config);
    const name = "model.safetensors.index.json";
    const at = (map: object): Promise<string> =>
      checkpoint("index", {
        "config.json": config,
        "a.safetensors": first === undefined ? [] : [first],
        "b.safetensors": rest,
        [name]: { weight_map: map },
      });
    expect(await failure(await at({ x: "../../secret.safetensors" }))).toContain(
      '"../../secret.safetensors"; allowed: the name',
    );
    expect(await failure(await at({ x: "c.safetensors" }))).toContain("c.safetensors: no such file");
    const right = Object.fromEntries([
      [first?.name, "a.safetensors"],
      ...rest.map((one) => [one.name, "b.safetensors"]),
    ]);
    expect(await failure(await at({ ...right, [String(rest[0]?.name)]: "a.safetensors" }))).toContain(
      "but the index says a.safetensors",
    );
    expect(await failure(await at({ ...right, more: "b.safetensors" }))).toContain("tensors that are in no file: more");
    const { imported, close } = await openHuggingFace(await at(right));
    expect(await imported.get("embedding.weight")).toEqual(
      rest.concat(first ?? []).find((t) => t.name.includes("embed_tokens"))?.data,
    );
    await close();
  });

  it("finds every truncation of the weights", async () => {
    const config = await configOf("mamba");
    const path = await checkpoint("cut", { "config.json": config, "model.safetensors": randomTensors(config) });
    const weights = join(path, "model.safetensors");
    const whole = await readFile(weights);
    const lengths = [0, 4, 8, 9, 100, 2000, whole.length >> 1, whole.length - 1];
    for (const length of lengths) {
      await writeFile(weights, whole);
      await truncate(weights, length);
      expect(await failure(path), `${length} bytes`).toMatch(/truncated|belong to no tensor|JSON/);
    }
  });

  it("does not build a graph for layers that have no tensors", async () => {
    const config = { ...(await configOf("llama")), num_hidden_layers: 4000 };
    const path = await checkpoint("deep", {
      "config.json": config,
      "model.safetensors": randomTensors(await configOf("llama")),
    });
    expect(await failure(path)).toContain("only 21 tensors, but the configuration has 4000 layers");
  });
});

describe("weights in other types", () => {
  it.each(["BF16", "F16", "F64"] as const)(
    "%s are read as what they stand for, and kept as they are on disk",
    async (dtype) => {
      const config = await configOf("qwen3");
      const tensors = randomTensors(config);
      const stored = tensors.map((one) => ({ ...one, dtype, data: fromFloat32(one.data as Float32Array, dtype) }));
      const path = await checkpoint(dtype, { "config.json": config, "model.safetensors": stored });
      const out = join(folder, `${dtype}-out`);
      const { imported } = await importFolder(path, out);
      for (const name of imported.keys()) expect(imported.dtype(name)).toBe(dtype);
      const again = await readFile(join(out, "model.safetensors"));
      expect(again.includes(`"dtype":"${dtype}"`)).toBe(true);
      const wide = await importFolder(path, `${out}-f32`, { dtype: "F32" });
      expect(wide.imported.spec.d_model).toBe(32);
      expect((await readFile(join(`${out}-f32`, "model.safetensors"))).includes('"dtype":"F32"')).toBe(true);
    },
  );
});

describe("random damage", () => {
  const draw = generator(11);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(draw() * list.length)] as T;
  const poison: readonly unknown[] = [
    ...[
      null,
      -1,
      0,
      1,
      3,
      7.5,
      1e9,
      2 ** 26,
      1e308,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      true,
      false,
      "",
      "x",
      "auto",
    ],
    ...[
      [],
      {},
      [1, 2],
      ["mamba"],
      new Array(3000).fill("linear_attention"),
      { rope_type: "yarn" },
      { factor: -1, rope_type: "linear" },
    ],
    ...["full_attention", ["full_attention", "x"], [[[]]], { a: { b: { c: 1 } } }, "M".repeat(50_000)],
  ];

  it.each(cases)("of the configuration of %s is an error of ours or still a model", async (name) => {
    const config = await configOf(name);
    const fields = Object.keys(config).filter((field) => field !== "model_type");
    let understood = 0;
    for (let i = 0; i < 60; i++) {
      const damaged: Record<string, unknown> = { ...config };
      for (let n = 0; n <= Math.floor(draw() * 3); n++) {
        const field = pick(fields);
        if (draw() < 0.2) delete damaged[field];
        else damaged[field] = pick(poison);
      }
      const start = performance.now();
      try {
        convertConfig(damaged, "config.json", { name: "damaged" });
        understood++;
      } catch (error) {
        expect(error, JSON.stringify(damaged)?.slice(0, 2000)).toBeInstanceOf(HuggingFaceError);
      }
      expect(performance.now() - start, JSON.stringify(damaged)?.slice(0, 500)).toBeLessThan(5000);
    }
    expect(understood).toBeLessThan(60);
  });

  it("of the bytes of a checkpoint is an error of ours or still a checkpoint", async () => {
    const config = await configOf("mamba2");
    const path = await checkpoint("bytes", { "config.json": config, "model.safetensors": randomTensors(config) });
    const weights = join(path, "model.safetensors");
    const whole = await readFile(weights);
    const header = 8 + Number(whole.readBigUInt64LE(0));
    let failures = 0;
    for (let i = 0; i < 150; i++) {
      const bytes = Buffer.from(whole);
      for (let n = 0; n <= Math.floor(draw() * 4); n++) bytes[Math.floor(draw() * header)] = Math.floor(draw() * 256);
      await writeFile(weights, bytes);
      try {
        const { close } = await openHuggingFace(path);
        await close();
      } catch (error) {
        failures++;
        expect(error instanceof HuggingFaceError || error instanceof SafetensorsError, String(error)).toBe(true);
      }
    }
    expect(failures).toBeGreaterThan(100);
  });
});
