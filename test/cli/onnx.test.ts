// export --format onnx and verify, as a shell runs them: a run of ours, a checkpoint, and what can go wrong.
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { commands } from "../../src/cli/commands.ts";
import { createModel } from "../../src/model/create.ts";
import { saveModel } from "../../src/model/node/files.ts";
import { type Ran, runHere } from "./run.ts";

const folder = mkdtempSync(join(tmpdir(), "hybraid-cli-onnx-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);
const run = (...args: string[]): Promise<Ran> => runHere(commands, ...args);
const exporting = (model: string, out: string, ...rest: string[]): Promise<Ran> =>
  run("export", model, "--format", "onnx", "--out", out, ...rest);
const json = (path: string): Record<string, unknown> =>
  JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
const fixture = "test/fixtures/hf/granitemoehybrid";

beforeAll(async () => {
  writeFileSync(at("text.txt"), "The quick brown fox jumps over the lazy dog. ".repeat(200));
  writeFileSync(
    at("tiny.yaml"),
    `name: tiny
d_model: 16
vocab_size: 256
blocks:
  M: {mixer: {type: mamba}}
  A: {mixer: {type: attention, n_heads: 2, window: 16, rope: true}}
  F: {ffn: {type: mlp, d_ff: 32}}
layers: MFAF
`,
  );
  writeFileSync(
    at("run.yaml"),
    `name: tiny
architecture: tiny.yaml
data: {type: text, files: [text.txt], validation: {fraction: 0.1}}
steps: 2
batch_size: 2
sequence_length: 32
`,
  );
});

describe("export --format onnx", () => {
  it("writes a run of ours, verified, with its bytes as a tokenizer", async () => {
    const trained = await run("train", at("run.yaml"), "--out", at("tiny"), "--device", "wasm");
    expect(trained.code, trained.stderr).toBe(0);
    const { stdout, stderr, code } = await exporting(at("tiny"), at("tiny-onnx"), "--json");
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const report = JSON.parse(stdout) as Record<string, unknown>;
    expect(report).toMatchObject({
      dialect: "ort",
      files: ["onnx/model.onnx", "onnx/model.onnx_data"],
      text_files: expect.arrayContaining(["tokenizer.json", "tokenizer_config.json", "generation_config.json"]),
      verification: { ok: true, dtype: "f32", tolerance: { of: "largest", most: 2e-4 } },
      transformers_js: { model_type: "granitemoehybrid", obstacle: null },
    });
    expect((report.verification as { error: number }).error).toBeLessThan(1e-5);
    expect(readdirSync(at("tiny-onnx")).sort()).toEqual([
      ...["config.json", "generation_config.json", "hybraid_expected.safetensors", "hybraid_export.json", "onnx"],
      ...["tokenizer.json", "tokenizer_config.json"],
    ]);
    expect(json(at("tiny-onnx/config.json"))).toMatchObject({
      layer_types: ["mamba", "mlp", "attention"],
      "transformers.js_config": { dtype: "fp32", use_external_data_format: { "model.onnx": 1 } },
    });
  });

  it("writes a checkpoint, adds a graph under another name, and verifies both again", async () => {
    const first = await exporting(fixture, at("granite"));
    expect(first.stdout).toContain("verified with onnxruntime-node");
    expect(first.stdout).toContain("transformers.js runs it as granitemoehybrid");
    const second = await exporting(
      fixture,
      at("granite"),
      "--dialect",
      "onnx",
      "--name",
      "model_standard",
      "--logits",
      "last",
    );
    expect(second.stderr).toBe("");
    expect(second.code).toBe(0);
    const { stdout, code } = await run("verify", at("granite"), "--json");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      "onnx/model.onnx": { ok: true, dialect: "ort", same_likeliest_token: { same: 309, of: 309 } },
      // One position of the whole and of each prompt, two of each step of two rows.
      "onnx/model_standard.onnx": { ok: true, dialect: "onnx", opset: 27, same_likeliest_token: { same: 28, of: 28 } },
    });
    expect((await run("verify", at("granite"), "--model", fixture)).code).toBe(0);
    expect(json(at("granite/config.json"))["transformers.js_config"]).toMatchObject({
      use_external_data_format: { "model.onnx": 1, "model_standard.onnx": 1 },
    });
  });

  it("writes narrower weights under the names that transformers.js looks for", async () => {
    for (const [options, file] of [
      [["--dtype", "f16"], "model_fp16.onnx"],
      [["--quantize", "int8", "--block", "16"], "model_quantized.onnx"],
      [["--quantize", "int4", "--block", "16", "--asymmetric"], "model_q4.onnx"],
      [["--quantize", "int4", "--block", "16", "--dtype", "f16"], "model_q4f16.onnx"],
    ] as const) {
      const { stdout, stderr } = await exporting(fixture, at("granite"), ...options);
      expect(stderr).toBe("");
      expect(stdout).toContain(`onnx/${file}`);
      expect(stdout).toContain("root mean square error");
    }
    const size = (name: string): number => readFileSync(at(`granite/onnx/${name}_data`)).length;
    expect(size("model_q4.onnx")).toBeLessThan(0.5 * size("model.onnx"));
    const { stdout, code } = await run("verify", at("granite"));
    expect(code).toBe(0);
    expect(stdout.match(/: verified with/g)).toHaveLength(6);
  });

  it("writes the training step with the weights that it is fed", async () => {
    const { stdout, stderr, code } = await exporting("test/fixtures/hf/mamba2", at("step"), "--training");
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(stdout).toMatch(/verified with onnxruntime-node .*: loss and \d+ gradients/);
    expect(readdirSync(at("step")).sort()).toEqual(
      ["architecture.yaml", "generation_config.json", "hybraid_export.json", "model.safetensors", "onnx"].filter(
        (name) => existsSync(at(`step/${name}`)),
      ),
    );
    expect((await run("verify", at("step"))).stdout).toContain("onnx/training.onnx: training: verified with");
    // Other weights of the same shapes are just as good; those of another architecture are none.
    expect((await run("verify", at("step"), "--model", "test/fixtures/hf/llama")).code).toBe(1);
  });

  it("refuses to write over what is there", async () => {
    mkdirSync(at("taken"));
    writeFileSync(at("taken/mine"), "");
    for (const [model, out, reason] of [
      [fixture, at("taken"), "is there already; give another name"],
      [fixture, at("granite"), "model.onnx: is there already"],
      ["test/fixtures/hf/llama", at("granite"), "holds the export of another architecture"],
    ] as const) {
      const { stderr, code } = await exporting(model, out);
      expect(stderr).toContain(reason);
      expect(code).toBe(1);
    }
    expect(readdirSync(at("taken"))).toEqual(["mine"]);
  });

  it("says why a model can't be written, and leaves nothing", async () => {
    const model = await createModel(readFileSync("architectures/gru.yaml", "utf8"), { device: "wasm", threads: 1 });
    await saveModel(model, at("gru"));
    await model.close();
    const { stderr, code } = await exporting(at("gru"), at("none"), "--training");
    expect(stderr).toMatch(/^error: .*its backward pass needs a loop/);
    expect(code).toBe(1);
    expect(readdirSync(folder).filter((name) => name.includes("none"))).toEqual([]);
  });

  it("answers a command line that makes no sense", async () => {
    for (const [args, problem] of [
      [["export", fixture, "--out", at("x")], "'--format <name>' not specified"],
      [["export", fixture, "--format", "onnx"], "'-o, --out <folder>' not specified"],
      [["export", "--format", "onnx", "--out", at("x")], "missing required argument 'model'"],
      [
        ["export", fixture, "--format", "onnx", "--out", at("x"), "--family", "llama"],
        "'--family' is for --format huggingface",
      ],
      [
        ["export", fixture, "--format", "huggingface", "--out", at("x"), "--no-verify"],
        "'--no-verify' is for --format onnx",
      ],
      [
        ["export", fixture, "--format", "onnx", "--out", at("x"), "--dialect", "tflite"],
        "Allowed choices are ort, onnx",
      ],
      [
        ["export", fixture, "--format", "onnx", "--out", at("x"), "--dtype", "bf16"],
        "bf16 is for --format huggingface",
      ],
      [["export", fixture, "--format", "onnx", "--out", at("x"), "--asymmetric"], "which is not given"],
      [
        ["export", fixture, "--format", "onnx", "--out", at("x"), "--training", "--dtype", "f16"],
        "'--dtype' has no meaning",
      ],
      [
        ["export", fixture, "--format", "onnx", "--out", at("x"), "--quantize", "int4", "--block", "20"],
        "allowed: 16, 32",
      ],
    ] as const) {
      const { stderr, code } = await run(...args);
      expect(stderr).toContain(problem);
      expect(code).toBe(2);
    }
    expect((await exporting(at("absent"), at("x"))).stderr).toContain("no such folder");
    expect(existsSync(at("x"))).toBe(false);
  });

  it("lists dialects and what was verified", async () => {
    const { stdout, code } = await run("export", "--list");
    expect(code).toBe(0);
    for (const dialect of ["ort", "onnx", "portable", "scan"])
      expect(stdout).toMatch(new RegExp(`^ +${dialect} +\\d+ `, "m"));
    expect(stdout).toMatch(/^ {2}granitemoehybrid +\de-\d/m);
  });
});

describe("verify", () => {
  it("finds a weight that is wrong", async () => {
    cpSync(at("granite"), at("wrong"), { recursive: true });
    rmSync(at("wrong/onnx/model_standard.onnx"));
    const data = at("wrong/onnx/model.onnx_data");
    const bytes = readFileSync(data);
    for (let at = 4; at <= 800; at += 4) bytes.writeFloatLE(9, bytes.length - at);
    writeFileSync(data, bytes);
    const { stdout, code } = await run("verify", at("wrong"));
    expect(stdout).toContain("DIFFERS");
    expect(code).toBe(1);
    truncateSync(data, 1000);
    const cut = await run("verify", at("wrong"));
    expect(cut.stderr).toContain("cut off");
    expect(cut.code).toBe(1);
  });

  it("says what it lacks", async () => {
    expect((await exporting(fixture, at("unverified"), "--no-verify")).stdout).toContain("not verified: --no-verify");
    expect((await run("verify", at("unverified"))).stderr).toContain("--model names the model it came from");
    expect((await run("verify", at("unverified"), "--model", fixture)).stdout).toContain("verified with");
    expect((await run("verify", at("unverified"), "--model", "test/fixtures/hf/llama")).stderr).toContain(
      "another one",
    );
    expect((await run("verify", folder)).stderr).toContain("no .onnx file");
  });
});
