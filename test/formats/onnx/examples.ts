// The examples of docs/onnx.md, taken from its text, and the model that they are run with.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { byteTokenizer } from "../../../src/data/tokenizer.ts";
import { createModel } from "../../../src/model/create.ts";
import { saveModel } from "../../../src/model/node/files.ts";
import { exportOnnx } from "../../../src/model/node/onnx.ts";
import { loadSpecFile } from "../../../src/spec/node/files.ts";
import { folder as architectures, lively } from "../../model/lively.ts";

const guide = readFileSync("docs/onnx.md", "utf8");

/** Blocks of code that say that they are examples of a kind. */
export function examples(kind: "node" | "page"): string[] {
  const blocks = [...guide.matchAll(/^```\w+\n(.*?)^```$/gms)].map(([, code]) => code ?? "");
  return blocks.filter(
    (code) => code.startsWith(`// example: ${kind}\n`) || code.startsWith(`<!-- example: ${kind} -->\n`),
  );
}

/** Exports a model of bytes as `folder`/exported; returns what the examples must print. */
export async function exportForExamples(folder: string): Promise<string> {
  const spec = loadSpecFile(`${architectures}samba.yaml`);
  const model = await createModel(spec, { device: "wasm", threads: 1, weights: lively(spec) });
  await saveModel(model, join(folder, "model"));
  const tokenizer = byteTokenizer();
  const ids = tokenizer.encode("interface ");
  const tokens = [...ids];
  for await (const token of model.generate(ids, { temperature: 0, maxTokens: 40 })) tokens.push(token);
  await model.close();
  const options = { dialect: "ort", logits: "all", name: "model", verify: true, bytes: true, version: "0" } as const;
  await exportOnnx(join(folder, "model"), join(folder, "exported"), options);
  return tokenizer.decode(tokens);
}
