// Whole models with narrower weights: how far their logits are from those of the same weights in f32, family by family. Random
// weights are the hardest to quantise: nothing in them is redundant.
import { afterAll, describe, expect, it } from "vitest";
import { type Dialect, dialects } from "../../../src/formats/onnx/lowering.ts";
import { buildOnnxModel } from "../../../src/formats/onnx/model.ts";
import type { StorageOptions } from "../../../src/formats/onnx/storage.ts";
import { createModel } from "../../../src/model/create.ts";
import type { Model } from "../../../src/model/model.ts";
import { createWasmRuntime } from "../../../src/runtime/wasm/runtime.ts";
import { loadSpecFile } from "../../../src/spec/node/files.ts";
import type { ArchitectureSpec } from "../../../src/spec/types.ts";
import { folder, lively } from "../../model/lively.ts";
import { generator } from "../../ops/harness.ts";
import { OnnxRun } from "./session.ts";

process.env.ALLOW_RELEASED_ONNX_OPSET_ONLY = "0";

const block = 32;
/** Root mean square of the error, as a part of that of the logits. */
const variants: Readonly<
  Record<string, { readonly storage: StorageOptions; readonly least: number; readonly most: number }>
> = {
  f16: { storage: { dtype: "f16" }, least: 1e-5, most: 3e-3 },
  int8: { storage: { quantise: { bits: 8, block, symmetric: true } }, least: 1e-3, most: 3e-2 },
  "int8, asymmetric": { storage: { quantise: { bits: 8, block, symmetric: false } }, least: 1e-3, most: 3e-2 },
  int4: { storage: { quantise: { bits: 4, block, symmetric: true } }, least: 1e-2, most: 0.4 },
  "int4, asymmetric": { storage: { quantise: { bits: 4, block, symmetric: false } }, least: 1e-2, most: 0.4 },
  "int4 and f16": { storage: { dtype: "f16", quantise: { bits: 4, block, symmetric: true } }, least: 1e-2, most: 0.4 },
};

interface Family {
  readonly spec: ArchitectureSpec;
  readonly weights: ReadonlyMap<string, Float32Array>;
  readonly model: Model;
  readonly logits: Float32Array;
}

const draw = generator(9);
const runtime = createWasmRuntime({ threads: 1 });
const opened = new Map<string, Promise<Family>>();

function open(file: string): Promise<Family> {
  let family = opened.get(file);
  if (family === undefined) {
    family = (async () => {
      const spec = loadSpecFile(folder + file);
      const weights = lively(spec);
      const model = await createModel(spec, { runtime: await runtime, weights });
      return { spec, weights, model, logits: (await model.forward(tokens)).logits };
    })();
    opened.set(file, family);
  }
  return family;
}

const tokens = [0, 1].map(() => Array.from({ length: 24 }, () => Math.floor(draw() * 256)));

afterAll(async () => {
  for (const family of opened.values()) await (await family).model.close();
  await (await runtime).close();
});

async function errorOf(file: string, dialect: Dialect, storage: StorageOptions) {
  const { spec, weights, logits } = await open(file);
  const read = (name: string): Float32Array => weights.get(name) ?? new Float32Array();
  const model = buildOnnxModel(spec, read, { dialect, storage });
  const run = await OnnxRun.open(model, 2);
  const actual = await run.forward(tokens);
  await run.close();
  let [error, total] = [0, 0];
  for (const [i, value] of logits.entries()) {
    error += ((actual[i] ?? Number.NaN) - value) ** 2;
    total += value ** 2;
  }
  return { relative: Math.sqrt(error / total), bytes: model.encode().byteLength };
}

/** In a mixture of experts a small error sends some tokens to other experts. */
const factors = { "granite-hybrid.yaml": 1, "qwen3-next.yaml": 2.5, "samba.yaml": 1 } as const;

describe.each(Object.entries(factors))("%s", (file, factor) => {
  it.each(Object.entries(variants))("stays near its logits with %s", async (_, { storage, least, most }) => {
    const { relative } = await errorOf(file, "ort", storage);
    expect(relative).toBeGreaterThan(least);
    expect(relative).toBeLessThan(factor * most);
  });

  it.each(dialects.filter((dialect) => dialect !== "ort"))(
    "computes the same from int4 in the dialect %s",
    async (dialect) => {
      const storage = variants["int4, asymmetric"]?.storage ?? {};
      const [theirs, ours] = [await errorOf(file, dialect, storage), await errorOf(file, "ort", storage)];
      expect(theirs.relative).toBeCloseTo(ours.relative, 2);
    },
  );
});
