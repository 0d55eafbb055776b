// Exports for tests that open them elsewhere: checkpoints of test/fixtures/hf with a tokenizer, and what we generate with them.
import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { huggingFaceTokenizer } from "../../../src/data/tokenizer.ts";
import type { Dialect } from "../../../src/formats/onnx/lowering.ts";
import { loadModel } from "../../../src/model/node/files.ts";
import { exportOnnx, type OnnxExport } from "../../../src/model/node/onnx.ts";

export const fixtures = "test/fixtures/hf";

/** One token per printable ASCII character but the space, after three special ones: 97, as the fixtures have. */
const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
const special = ["<pad>", "<s>", "</s>"];
const characters = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i));
export const tokenizer = {
  version: "1.0",
  added_tokens: special.map((content, id) => ({
    id,
    content,
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  })),
  normalizer: null,
  pre_tokenizer: byteLevel,
  post_processor: null,
  decoder: byteLevel,
  model: {
    type: "BPE",
    unk_token: null,
    vocab: Object.fromEntries([...special, ...characters].map((c, i) => [c, i])),
    merges: [],
  },
};
const tokenizerConfig = { tokenizer_class: "PreTrainedTokenizerFast", pad_token: "<pad>", padding_side: "left" };

/** Exports a fixture, which gets the tokenizer, as the folder `to`. */
export async function exportFixture(name: string, to: string, dialect: Dialect = "ort"): Promise<OnnxExport> {
  const source = `${to}.source`;
  cpSync(join(fixtures, name), source, { recursive: true });
  writeFileSync(join(source, "tokenizer.json"), JSON.stringify(tokenizer));
  writeFileSync(join(source, "tokenizer_config.json"), JSON.stringify(tokenizerConfig));
  return exportOnnx(source, to, {
    dialect,
    logits: "all",
    name: "model",
    verify: true,
    bytes: false,
    version: "0.0.0",
  });
}

/** Ids of the greedy continuation of a text. */
export async function continued(folder: string, prompt: string, count: number): Promise<number[]> {
  const model = await loadModel(folder, { device: "wasm", threads: 1 });
  const tokens: number[] = [];
  const ids = huggingFaceTokenizer(tokenizer, tokenizerConfig).encode(prompt);
  for await (const token of model.generate(ids, { temperature: 0, maxTokens: count })) tokens.push(token);
  await model.close();
  return tokens;
}
