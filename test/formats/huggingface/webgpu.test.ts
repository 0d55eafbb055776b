// Checkpoints on the GPU (a software one, which compiles slowly: some of different kinds stand for all).
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createModel } from "../../../src/model/create.ts";
import type { Runtime } from "../../../src/runtime/types.ts";
import { createWebGpuRuntime } from "../../../src/runtime/webgpu/runtime.ts";
import { cases, largestError, openCase, rowsOf } from "./cases.ts";

let gpu: Runtime;
beforeAll(async () => {
  gpu = await createWebGpuRuntime({ adapter: "software", limits: "default", subgroups: false, f16: false });
});
afterAll(() => gpu.close());

/** Those whose kernels between them are most of all; HYBRAID_GPU=all (docs/features.md is made so) takes every one. */
const few = [
  "mamba",
  "mamba2",
  "qwen3",
  "gpt2",
  "granitemoehybrid",
  "qwen3_next",
  "recurrent_gemma",
  "lfm2",
  "zamba2",
  "rwkv",
];

describe.each(process.env.HYBRAID_GPU === "all" ? cases : few)("%s", (name) => {
  it("webgpu: the logits of transformers, within three times the tolerance", async () => {
    const one = await openCase(name);
    const model = await createModel(one.imported.spec, { runtime: gpu, weights: one.imported });
    const { logits } = await model.forward(rowsOf(one));
    expect(largestError(logits, one.logits)).toBeLessThanOrEqual(3 * one.meta.tolerance.logits_atol);
    await model.close();
    await one.close();
  });
});
