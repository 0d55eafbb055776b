// Every architecture file on the GPU: the same numbers as on the CPU, whichever way a sequence is cut, and states that move
// between the two. Runs on the software GPU at WebGPU's default limits, where most has to be merged and cut.
import { afterAll, describe, expect, it } from "vitest";
import { createModel } from "../../src/model/create.ts";
import type { Model } from "../../src/model/model.ts";
import type { Runtime } from "../../src/runtime/types.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { createWebGpuRuntime } from "../../src/runtime/webgpu/runtime.ts";
import { loadSpecFile } from "../../src/spec/node/files.ts";
import { generator } from "../ops/harness.ts";
import { closeTo, files, folder, lively, toleranceOf } from "./lively.ts";

/** Long enough for chunked kernels (64 tokens) and what is left over. */
const LENGTH = 67;

const runtimes: Promise<Runtime>[] = [];
const once = (make: () => Promise<Runtime>): (() => Promise<Runtime>) => {
  let made: Promise<Runtime> | undefined;
  return () => {
    made ??= make();
    runtimes.push(made);
    return made;
  };
};
const cpu = once(() => createWasmRuntime({ threads: 1 }));
const gpu = once(() => createWebGpuRuntime({ adapter: "software", limits: "default", subgroups: false, f16: false }));
afterAll(async () => {
  for (const runtime of new Set(runtimes)) await (await runtime).close();
});

describe.each(files)("%s on the GPU", (file) => {
  const spec = loadSpecFile(folder + file);
  const tolerance = toleranceOf(spec);
  const draw = generator(5);
  const rows = [0, 1].map(() => Array.from({ length: LENGTH }, () => Math.floor(draw() * spec.vocab_size)));
  const width = spec.vocab_size;
  const slice = (from: number, to: number): number[][] => rows.map((row) => row.slice(from, to));
  /** Expects logits of tokens from … to - 1 to be those of the whole. */
  const expectPart = (logits: Float32Array, from: number, to: number, limit = tolerance): void => {
    const size = (to - from) * width;
    for (const b of [0, 1]) {
      const at = (b * LENGTH + from) * width;
      closeTo(logits.subarray(b * size, (b + 1) * size), whole.subarray(at, at + size), limit);
    }
  };
  let onCpu: Model;
  let onGpu: Model;
  let whole: Float32Array;

  it("gives the CPU's logits, in one pass", async () => {
    const weights = lively(spec);
    onCpu = await createModel(spec, { runtime: await cpu(), weights });
    onGpu = await createModel(spec, { runtime: await gpu(), weights });
    whole = (await onCpu.forward(rows)).logits;
    expectPart((await onGpu.forward(rows)).logits, 0, LENGTH);
  });

  it("gives them in chunks and one token at a time, too", async () => {
    const state = onGpu.createState(2, { context: LENGTH });
    // Few lengths, since the GPU compiles kernels for each.
    for (const [from, to] of [
      [0, 1],
      [1, 2],
      [2, 66],
      [66, 67],
    ] as const)
      expectPart((await onGpu.forward(slice(from, to), { state })).logits, from, to);
    expect(Array.from(state.positions)).toEqual([LENGTH, LENGTH]);
  });

  it("goes on from a state that the CPU saved, and the CPU from its", async () => {
    for (const [first, second] of [
      [onCpu, onGpu],
      [onGpu, onCpu],
    ] as const) {
      const state = first.createState(2, { context: LENGTH });
      await first.forward(slice(0, 64), { state });
      const loaded = await second.loadState(await state.save());
      expectPart((await second.forward(slice(64, LENGTH), { state: loaded })).logits, 64, LENGTH, 1e-4);
    }
  });

  it("closes", async () => {
    await onCpu.close();
    await onGpu.close();
  });
});
