// Exported folders opened by transformers.js in Node: it loads tokenizer and model by the folder's name alone and continues texts
// as we do.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AutoModelForCausalLM, AutoTokenizer, env, type PreTrainedModel, type Tensor } from "@huggingface/transformers";
import { afterAll, describe, expect, it } from "vitest";
import { byteTokenizer } from "../../../src/data/tokenizer.ts";
import { createModel } from "../../../src/model/create.ts";
import { saveModel } from "../../../src/model/node/files.ts";
import { exportOnnx } from "../../../src/model/node/onnx.ts";
import { loadSpecFile } from "../../../src/spec/node/files.ts";
import { folder as architectures, lively } from "../../model/lively.ts";
import { continued, exportFixture, fixtures } from "./exported.ts";

const folder = mkdtempSync(join(tmpdir(), "hybraid-transformers-js-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
env.allowRemoteModels = false;
env.localModelPath = folder;

const prompts = ["Hybrid!", "attention-and-states"];
const COUNT = 16;

/** Greedy continuations of texts read as one batch, as ids. */
async function continuedThere(name: string, texts: readonly string[], count: number): Promise<number[][]> {
  const tokenizer = await AutoTokenizer.from_pretrained(name);
  const model: PreTrainedModel = await AutoModelForCausalLM.from_pretrained(name);
  const inputs = tokenizer([...texts], { padding: true });
  // An end of text would end one row and not the other.
  const options = { max_new_tokens: count, do_sample: false, eos_token_id: 1000 };
  const output = (await model.generate({ ...inputs, ...options })) as Tensor;
  await model.dispose();
  const rows = output.tolist() as bigint[][];
  return rows.map((row) => row.slice(-count).map(Number));
}

describe("transformers.js", () => {
  it.each([
    { name: "granitemoehybrid" },
    { name: "falcon_h1" },
    { name: "nemotron_h" },
    { name: "lfm2" },
    { name: "qwen3_next" },
    { name: "llama" },
    { name: "olmo_hybrid" },
    { name: "gemma3", as: "gemma3_text" },
    { name: "gpt2" },
    // Families that it doesn't know run as one that keeps the same states.
    { name: "qwen3_5_text", as: "qwen3_next" },
    { name: "recurrent_gemma", as: "qwen3_next" },
    { name: "kimi_linear", as: "qwen3_next" },
    { name: "jamba", as: "granitemoehybrid" },
    { name: "zamba2", as: "granitemoehybrid" },
  ])("continues texts with $name as we do, two at a time, the shorter one padded", async ({ name, as = name }) => {
    const { transformersJs } = await exportFixture(name, join(folder, name));
    expect(transformersJs).toEqual({ modelType: as, obstacle: undefined });
    const expected = await Promise.all(prompts.map((prompt) => continued(join(fixtures, name), prompt, COUNT)));
    expect(await continuedThere(name, prompts, COUNT)).toEqual(expected);
  });

  it("reads bytes where the model does", async () => {
    const spec = loadSpecFile(`${architectures}samba.yaml`);
    const weights = lively(spec);
    const model = await createModel(spec, { device: "wasm", threads: 1, weights });
    await saveModel(model, join(folder, "own"));
    const text = "Grüße, 世界! \u0000\n";
    const tokens: number[] = [];
    const ids = byteTokenizer().encode(text);
    for await (const token of model.generate(ids, { temperature: 0, maxTokens: COUNT })) tokens.push(token);
    await model.close();
    const options = { dialect: "ort", logits: "last", name: "model", verify: true, bytes: true, version: "0" } as const;
    await exportOnnx(join(folder, "own"), join(folder, "bytes"), options);
    const tokenizer = await AutoTokenizer.from_pretrained("bytes");
    expect(tokenizer.encode(text)).toEqual(Array.from(ids));
    expect(tokenizer.decode(Array.from(ids))).toBe(text);
    expect(await continuedThere("bytes", [text], COUNT)).toEqual([tokens]);
  });

  it.each([
    { name: "mamba", why: /no model without attention/ },
    { name: "zamba", why: /no place for the state "past_ssm\.0\.mixer\.ssm_1"/ },
  ])("can't run $name, which is exported all the same", async ({ name, why }) => {
    const { transformersJs, verification } = await exportFixture(name, join(folder, name));
    expect(transformersJs.obstacle).toMatch(why);
    expect(verification?.ok).toBe(true);
  });
});
