// import, export, logits and compare, as a shell runs them.
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { commands } from "../../src/cli/commands.ts";
import { withSafetensorsFile } from "../../src/formats/safetensors/node/file.ts";
import { largestError } from "../formats/huggingface/cases.ts";
import { runHere } from "./run.ts";

const folder = mkdtempSync(join(tmpdir(), "hybraid-cli-hf-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);
const fixture = "test/fixtures/hf/mamba2";
const expected = join(fixture, "expected.safetensors");
const run = (...args: string[]) => runHere(commands, ...args);

describe("import and export", () => {
  it("write a model that is read and changed, and the checkpoint again with its tokenizer", async () => {
    cpSync(fixture, at("source"), { recursive: true });
    writeFileSync(at("source/tokenizer.json"), "{}");
    const imported = await run("import", at("source"), "--out", at("model"), "--json");
    expect(imported.stderr).toBe("");
    expect(JSON.parse(imported.stdout)).toMatchObject({
      model_type: "mamba2",
      parameters: 24656,
      layers: "MM",
      ignored: [],
    });
    expect(readdirSync(at("model")).sort()).toEqual(
      ["architecture.yaml", "huggingface_config.json", "model.safetensors", "tokenizer.json"].sort(),
    );
    expect((await run("inspect", at("model"))).code).toBe(0);
    const exported = await run(
      "export",
      at("model"),
      "--format",
      "huggingface",
      "--out",
      at("back"),
      "--max-shard-size",
      "50KB",
    );
    expect(exported.stdout).toContain("Mamba2ForCausalLM, 21 tensors, 98,624 bytes in 3 files; tokenizer.json");
    const config = JSON.parse(readFileSync(at("back/config.json"), "utf8")) as Record<string, unknown>;
    // What means nothing for the computation is as it was.
    expect(config).toMatchObject({ model_type: "mamba2", dtype: "float32", chunk_size: 8, pad_token_id: 1 });
    const index = JSON.parse(readFileSync(at("back/model.safetensors.index.json"), "utf8")) as { weight_map: object };
    expect(Object.keys(index.weight_map)).toHaveLength(21);
    const compared = await run("compare", at("back"), expected, "--device", "wasm", "--max-error", "1e-4");
    expect(compared.code).toBe(0);
  });

  it("refuse to write where something is, and leave it alone", async () => {
    const { code, stderr } = await run("import", fixture, "--out", at("source"));
    expect(code).toBe(1);
    expect(stderr).toContain("is there already; give another name");
    expect(existsSync(at("source/architecture.yaml"))).toBe(false);
  });

  it("say which fields of an architecture stand in the way", async () => {
    const text = readFileSync(at("model/architecture.yaml"), "utf8");
    cpSync(at("model"), at("changed"), { recursive: true });
    writeFileSync(at("changed/architecture.yaml"), text.replace("d_conv: 4", "d_conv: 4, gated_norm: {groups: 4}"));
    const { code, stderr } = await run(
      "export",
      at("changed"),
      "--format",
      "huggingface",
      "--out",
      at("no"),
      "--family",
      "mamba2",
    );
    expect(code).toBe(1);
    expect(stderr).toContain("does not fit mamba2: these fields stand in the way:");
    expect(stderr).toContain("layers 0, 1: mixer.gated_norm.groups is 4, not 1");
    expect(existsSync(at("no"))).toBe(false);
  });
});

describe("logits", () => {
  it.each(["full", "step", "chunks:5"])("in mode %s are those of transformers", async (mode) => {
    const output = at(`logits-${mode.replace(":", "-")}.safetensors`);
    const { code, stdout } = await run(
      "logits",
      fixture,
      "--input",
      expected,
      "--output",
      output,
      "--mode",
      mode,
      "--device",
      "wasm",
    );
    expect(code).toBe(0);
    expect(stdout).toContain("logits [2, 37, 97]");
    const read = (path: string) => withSafetensorsFile(path, (file) => file.readFloat32("logits"));
    expect(largestError(await read(output), await read(expected))).toBeLessThan(1e-4);
  });

  it("answer a mode that there is not", async () => {
    const { code, stderr } = await run(
      "logits",
      fixture,
      "--input",
      expected,
      "--output",
      at("x"),
      "--mode",
      "chunks:0",
    );
    expect(code).toBe(2);
    expect(stderr).toContain("allowed: full, step, chunks:N");
  });
});

describe("compare", () => {
  it("lists every tensor, the worst first, and fails where an error is too large", async () => {
    const { code, stdout } = await run(
      "compare",
      fixture,
      expected,
      "--device",
      "wasm",
      "--json",
      "--max-error",
      "1e-12",
    );
    expect(code).toBe(1);
    const list = JSON.parse(stdout) as { tensor: string; relative: number }[];
    expect(list).toHaveLength(23);
    expect(list.map(({ tensor }) => tensor)).toEqual(
      expect.arrayContaining(["logits", "loss", "grad.backbone.embeddings.weight"]),
    );
    expect(list.map(({ relative }) => relative)).toEqual(list.map(({ relative }) => relative).sort((a, b) => b - a));
  });

  it("counts the tokens of a greedy continuation that differ", async () => {
    const { stdout } = await run(
      "compare",
      fixture,
      join(fixture, "generation.safetensors"),
      "--device",
      "wasm",
      "--json",
    );
    expect(JSON.parse(stdout)).toEqual([{ tensor: "tokens", shape: [12], absolute: 0, relative: 0 }]);
  });

  it("sees a wrong weight", async () => {
    cpSync(at("model"), at("wrong"), { recursive: true });
    const bytes = readFileSync(at("wrong/model.safetensors"));
    bytes.writeFloatLE(9, bytes.length - 40);
    writeFileSync(at("wrong/model.safetensors"), bytes);
    const { stdout } = await run("compare", at("wrong"), expected, "--device", "wasm", "--json");
    expect((JSON.parse(stdout) as { relative: number }[])[0]?.relative).toBeGreaterThan(1e-3);
  });
});
