// Models in use: generation, states as values, files, and what is refused.
import { mkdtemp, readFile, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createModel } from "../../src/model/create.ts";
import { ModelError } from "../../src/model/error.ts";
import { specHash } from "../../src/model/hash.ts";
import type { Model } from "../../src/model/model.ts";
import { loadModel, loadState, saveModel, saveState } from "../../src/model/node/files.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { loadSpec } from "../../src/spec/load.ts";

const yaml = (options: { name?: string; d_state?: number; positions?: string; window?: string } = {}): string => `
name: ${options.name ?? "tiny"}
d_model: 32
vocab_size: 61
${options.positions ?? ""}
blocks:
  M: {mixer: {type: mamba, d_state: ${options.d_state ?? 4}}}
  A: {mixer: {type: attention, n_heads: 4, n_kv_heads: 2, window: ${options.window ?? "8"}}}
  F: {ffn: {type: mlp, d_ff: 48, activation: silu, gated: true}}
layers: "MFAF"
`;

async function take(model: Model, prompt: readonly number[], options = {}): Promise<number[]> {
  const tokens: number[] = [];
  for await (const token of model.generate(prompt, { maxTokens: 12, ...options })) tokens.push(token);
  return tokens;
}

describe("a model", () => {
  let model: Model;
  let folder: string;
  const prompt = [3, 14, 15, 9, 26, 5];
  beforeAll(async () => {
    model = await createModel(yaml(), { threads: 2, seed: 4 });
    folder = await mkdtemp(join(tmpdir(), "hybraid-model-"));
  });
  afterAll(() => model.close());

  it("generates greedily what repeated full passes would choose", async () => {
    const tokens = [...prompt];
    for (let i = 0; i < 12; i++) {
      const { logits } = await model.forward(tokens, { logits: "last" });
      tokens.push(logits.indexOf(Math.max(...logits)));
    }
    expect(await take(model, prompt)).toEqual(tokens.slice(prompt.length));
  });

  it("draws the same tokens for the same seed and others for another", async () => {
    const options = { temperature: 1, topK: 20, topP: 0.9, repetitionPenalty: 1.1, maxTokens: 24 };
    const first = await take(model, prompt, { ...options, seed: 1 });
    expect(await take(model, prompt, { ...options, seed: 1 })).toEqual(first);
    expect(await take(model, prompt, { ...options, seed: 2 })).not.toEqual(first);
  });

  it("ends at a stop token, at maxTokens, and when it is aborted", async () => {
    const all = await take(model, prompt);
    const stop = all[4] ?? -1;
    expect(await take(model, prompt, { stopTokens: [stop] })).toEqual(all.slice(0, all.indexOf(stop)));
    expect(await take(model, prompt, { maxTokens: 0 })).toEqual([]);
    const controller = new AbortController();
    const tokens: number[] = [];
    await expect(async () => {
      for await (const token of model.generate(prompt, { signal: controller.signal, maxTokens: 50 })) {
        tokens.push(token);
        if (tokens.length === 3) controller.abort();
      }
    }).rejects.toThrow("aborted");
    expect(tokens).toHaveLength(3);
  });

  it("continues a generation from a state as if it had never stopped, growing the cache as needed", async () => {
    const whole = await take(model, prompt, { maxTokens: 90 });
    const state = model.createState(1, { context: 4 });
    const first = await take(model, prompt, { maxTokens: 40, state });
    const rest = await take(model, first.slice(-1), { maxTokens: 50, state });
    expect([...first, ...rest]).toEqual(whole);
    expect(state.positions[0]).toBe(prompt.length + 89);
  });

  it("lets states be forked, patched and kept apart", async () => {
    const state = model.createState();
    await model.forward(prompt, { state });
    const fork = await state.clone();
    const before = (await model.forward([7], { state: fork, logits: "last" })).logits;
    const name = [...(await state.tensors()).keys()].find((key) => key.endsWith("ssm")) ?? "";
    const tensor = (await state.tensors()).get(name);
    await state.set(name, new Float32Array(tensor?.data.length ?? 0).fill(3));
    const after = (await model.forward([7], { state, logits: "last" })).logits;
    expect(after).not.toEqual(before);
    await expect(state.set("nothing", new Float32Array(1))).rejects.toThrow('no tensor "nothing"');
    await expect(state.set(name, new Float32Array(1))).rejects.toThrow("elements, got 1");
  });

  it("costs no more per token at a late position than at an early one", async () => {
    const flops = async (context: number) =>
      (await model.explain({ context })).reduce((sum, step) => sum + step.flops, 0);
    expect(await flops(1 << 16)).toBe(await flops(64));
  });

  it("saves and loads itself and its states, and the copy computes the same bits", async () => {
    await saveModel(model, folder);
    const copy = await loadModel(folder, { threads: 2 });
    const state = model.createState();
    const expected = (await model.forward(prompt, { state })).logits;
    expect((await copy.forward(prompt)).logits.length).toBe(expected.length);
    await saveState(state, join(folder, "state.safetensors"));
    const loaded = await loadState(copy, join(folder, "state.safetensors"));
    const next = (await copy.forward([1], { state: loaded })).logits;
    expect(next).toEqual((await model.forward([1], { state })).logits);
    await copy.close();
  });

  it("refuses a state or weights of another architecture, and damaged files, by name", async () => {
    const other = await createModel(yaml({ d_state: 8 }), { runtime: createReferenceRuntime() });
    const state = other.createState();
    await expect(model.forward(prompt, { state })).rejects.toThrow(/belongs to an architecture with hash [0-9a-f]{16}/);
    await expect(model.loadState(await state.save(), "s.safetensors")).rejects.toThrow("s.safetensors: belongs to");
    await saveModel(model, folder);
    const weights = join(folder, "model.safetensors");
    await writeFile(join(folder, "architecture.yaml"), yaml({ d_state: 8 }));
    await expect(loadModel(folder)).rejects.toThrow(/weights belong to an architecture with hash/);
    await writeFile(join(folder, "architecture.yaml"), yaml());
    const bytes = await readFile(weights);
    // The same bytes under a header of the same length that says something else of the first tensor.
    const retold = (from: string, to: string) =>
      writeFile(weights, bytes.toString("latin1").replace(from, to), "latin1");
    await retold('"dtype":"F32"', '"dtype":"I32"');
    await expect(loadModel(folder)).rejects.toThrow(/model\.safetensors: tensor ".*": dtype I32, where floating point/);
    await retold("[61,32]", "[32,61]");
    await expect(loadModel(folder)).rejects.toThrow('weight "embedding.weight" is [32, 61], tiny takes [61, 32]');
    await writeFile(weights, bytes);
    await truncate(weights, (await readFile(weights)).length - 100);
    await expect(loadModel(folder)).rejects.toThrow("model.safetensors");
    await expect(loadState(model, join(folder, "absent"))).rejects.toThrow("absent can't be read");
  });

  it.each([
    ["a token beyond the vocabulary", [[1, 61]], "61"],
    ["a negative token", [[-1]], "-1"],
    ["rows of different lengths", [[1, 2], [3]], "row 1 has 1 tokens, row 0 has 2"],
    ["no tokens", [[]], "there are no tokens"],
  ])("refuses %s", async (_, tokens, message) => {
    await expect(model.forward(tokens)).rejects.toThrow(message);
  });

  it("says so when it is used after it was closed, which may be said twice", async () => {
    const closed = await createModel(yaml(), { threads: 1 });
    await closed.close();
    await closed.close();
    await expect(closed.forward([1])).rejects.toThrow("the model tiny was closed");
  });

  it("refuses options out of range", async () => {
    await expect(take(model, [])).rejects.toThrow("the prompt is empty");
    await expect(take(model, prompt, { temperature: -1 })).rejects.toThrow("temperature is -1");
    await expect(take(model, prompt, { topP: 0 })).rejects.toThrow("topP is 0");
    await expect(take(model, prompt, { topK: 1.5 })).rejects.toThrow("topK is 1.5");
    await expect(take(model, prompt, { maxTokens: -2 })).rejects.toThrow("maxTokens is -2");
    expect(() => model.createState(0)).toThrow(ModelError);
    const state = model.createState(2);
    await expect(model.forward(prompt, { state })).rejects.toThrow("the state has 2 rows, the tokens have 1");
    await expect(createModel(yaml(), { threads: 0 })).rejects.toThrow("threads is 0");
    await expect(createModel(yaml(), { device: "tpu" as "auto" })).rejects.toThrow('"tpu" is not a device');
    await expect(createModel(yaml(), { weights: new Map([["x", new Float32Array(1)]]) })).rejects.toThrow(
      "no parameters x",
    );
  });

  it("refuses sequences longer than its learned positions", async () => {
    const spec = loadSpec(yaml({ positions: "positions: {type: learned, max_length: 10}" }));
    const learned = await createModel(spec, { runtime: createReferenceRuntime() });
    const state = learned.createState();
    await learned.forward([1, 2, 3, 4, 5, 6, 7, 8], { state });
    await expect(learned.forward([1, 2, 3], { state })).rejects.toThrow(
      "reaches position 11, but tiny has learned positions for 10 tokens only",
    );
    await expect(learned.forward(Array.from({ length: 11 }, () => 1))).rejects.toThrow("reaches position 11");
  });

  it("is named by what it computes: the hash ignores name and description only", () => {
    expect(specHash(loadSpec(yaml({ name: "other" })))).toBe(specHash(loadSpec(yaml())));
    expect(specHash(loadSpec(yaml({ window: "9" })))).not.toBe(specHash(loadSpec(yaml())));
  });
});
