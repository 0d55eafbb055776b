// Every family against transformers: a random checkpoint is imported and computes the same logits, loss, gradients and
// continuation; exported and imported again it has the same bits. The names of these tests are the columns of docs/features.md.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chooseFamily, fitFamily } from "../../../src/formats/huggingface/export.ts";
import { familyOf } from "../../../src/formats/huggingface/import.ts";
import { withSafetensorsFile } from "../../../src/formats/safetensors/node/file.ts";
import { compareGradients } from "../../../src/model/compare.ts";
import { createModel } from "../../../src/model/create.ts";
import type { Model } from "../../../src/model/model.ts";
import { exportFolder, importFolder } from "../../../src/model/node/huggingface.ts";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import type { Runtime } from "../../../src/runtime/types.ts";
import { createWasmRuntime } from "../../../src/runtime/wasm/runtime.ts";
import { loadSpec, stringifySpec } from "../../../src/spec/load.ts";
import { type Case, cases, folderOf, largestError, openCase, rowsOf } from "./cases.ts";

const out = mkdtempSync(join(tmpdir(), "hybraid-hf-"));
const reference = createReferenceRuntime();
let wasm: Runtime;
beforeAll(async () => {
  wasm = await createWasmRuntime({ threads: 1 });
});
afterAll(async () => {
  await wasm.close();
  rmSync(out, { recursive: true });
});

describe.each(cases)("%s", (name) => {
  const folder = folderOf(name);
  const expectedFile = join(folder, "expected.safetensors");
  let one: Case;
  let model: Model;
  beforeAll(async () => {
    one = await openCase(name);
    model = await createModel(one.imported.spec, { runtime: wasm, weights: one.imported });
  });
  afterAll(async () => {
    await model?.close();
    await one?.close();
  });

  it("import: every tensor is used or left out for a reason, and the file says all that the model is", () => {
    const { imported, meta } = one;
    expect(imported.modelType).toBe(meta.model_type);
    for (const { reason } of imported.ignored) expect(reason).not.toBe("");
    const again = loadSpec(stringifySpec(imported.spec));
    expect({ ...again, source: undefined }).toEqual({ ...imported.spec, source: undefined });
  });

  it("logits: those of transformers", async () => {
    const onReference = await createModel(one.imported.spec, { runtime: reference, weights: one.imported });
    const { logits } = await onReference.forward(rowsOf(one));
    expect(largestError(logits, one.logits)).toBeLessThanOrEqual(one.meta.tolerance.logits_atol);
    await onReference.close();
  });

  it("wasm: the same logits there", async () => {
    const { logits } = await model.forward(rowsOf(one));
    expect(largestError(logits, one.logits)).toBeLessThanOrEqual(one.meta.tolerance.logits_atol);
  });

  it("decode: token by token and in chunks, the logits of the whole", async () => {
    const { imported, length, batch, logits, meta } = one;
    const width = imported.spec.vocab_size;
    for (const chunk of [1, 5]) {
      const state = model.createState(batch);
      for (let from = 0; from < length; from += chunk) {
        const to = Math.min(length, from + chunk);
        const part = await model.forward(rowsOf(one, from, to), { state });
        for (let row = 0; row < batch; row++) {
          const found = part.logits.subarray(row * (to - from) * width, (row + 1) * (to - from) * width);
          const wanted = logits.subarray((row * length + from) * width, (row * length + to) * width);
          expect(largestError(found, wanted)).toBeLessThanOrEqual(meta.tolerance.logits_atol);
        }
      }
    }
  });

  const generation = join(folder, "generation.safetensors");
  it.skipIf(!existsSync(generation))("generate: the greedy continuation of transformers", async () => {
    await withSafetensorsFile(generation, async (file) => {
      const tokens = await file.readInt32("tokens");
      const found: number[] = [];
      const prompt = await file.readInt32("prompt");
      for await (const token of model.generate(prompt, { maxTokens: tokens.length, temperature: 0 })) found.push(token);
      expect(found).toEqual([...tokens]);
    });
  });

  it.each([
    ["gradients: loss and the gradient of every stored tensor", () => reference],
    ["wasm gradients: the same there", () => wasm],
  ])("%s", async (_title, runtime) => {
    const { imported, meta, ids, batch, length } = one;
    const { loss_atol, grad_atol, grad_rtol_of_tensor_max } = meta.tolerance;
    await withSafetensorsFile(expectedFile, async (file) => {
      const names = [...file.tensors.keys()].filter((key) => key.startsWith("grad."));
      const trained = [...imported.tensors.keys()].filter((key) => !meta.stored_without_gradient.includes(key));
      expect(names.sort()).toEqual(trained.map((key) => `grad.${key}`).sort());
      const on = { spec: imported.spec, runtime: runtime() };
      const results = await compareGradients(on, imported, ids, [batch, length], file, imported.tensors);
      expect(results).toHaveLength(names.length + 1);
      for (const { tensor, absolute, relative } of results) {
        if (tensor === "loss") expect(absolute, tensor).toBeLessThanOrEqual(loss_atol);
        else if (absolute > grad_atol) expect(relative, tensor).toBeLessThanOrEqual(grad_rtol_of_tensor_max);
      }
    });
  });

  it("export: to a folder that is imported again with the same bits", async () => {
    const model = join(out, name);
    const { imported } = await importFolder(folder, model, { name });
    const family = familyOf(imported.config, "config.json");
    expect(chooseFamily(imported.spec).problems).toEqual([]);
    const fit = fitFamily(imported.spec, family);
    expect(fit.problems).toEqual([]);
    const { written: exported } = await exportFolder(model, `${model}-exported`, imported.spec, fit, {
      maxShardBytes: 60_000,
    });
    expect(exported.files.length).toBeGreaterThan(1);
    const again = await importFolder(`${model}-exported`, `${model}-again`, { name });
    expect(again.imported.ignored).toEqual([]);
    const bytes = (path: string): Buffer => readFileSync(join(path, "model.safetensors"));
    expect(bytes(`${model}-again`).equals(bytes(model))).toBe(true);
    expect(readFileSync(join(`${model}-again`, "architecture.yaml"), "utf8")).toBe(
      readFileSync(join(model, "architecture.yaml"), "utf8"),
    );
    // Tensors under their original names, or others that mean the same, so that transformers finds them.
    const written = exported.files.flatMap(({ tensors }) => tensors.map((tensor) => tensor.name));
    expect(new Set(written).size).toBe(one.imported.tensors.size);
    for (const [stored, { names }] of one.imported.tensors) {
      expect(
        written.some((found) => found === stored || names.includes(found)),
        stored,
      ).toBe(true);
    }
  });
});
