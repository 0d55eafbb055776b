// Every architecture file, as a running model: one token at a time equals the full pass, any chunking equals the whole,
// states survive saving and loading, batch rows do not influence each other, and the planner packs tightly.
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { buildForward } from "../../src/blocks/model.ts";
import { lowerBound, packArena, plan } from "../../src/graph/plan.ts";
import { createModel } from "../../src/model/create.ts";
import type { Model } from "../../src/model/model.ts";
import { optimise } from "../../src/ops/passes/optimise.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import type { Runtime } from "../../src/runtime/types.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { loadSpecFile } from "../../src/spec/node/files.ts";
import { buildGradients } from "../../src/train/step.ts";
import { generator } from "../ops/harness.ts";
import { closeTo, files, folder, LENGTH, lively, toleranceOf } from "./lively.ts";

let shared: Promise<Runtime> | undefined;
const wasm = (): Promise<Runtime> => {
  shared ??= createWasmRuntime({ threads: 2 });
  return shared;
};
afterAll(async () => (await shared)?.close());

describe.each(files)("%s", (file) => {
  const spec = loadSpecFile(folder + file);
  const tolerance = toleranceOf(spec);
  const draw = generator(5);
  const rows = [0, 1].map(() => Array.from({ length: LENGTH }, () => Math.floor(draw() * spec.vocab_size)));
  const width = spec.vocab_size;
  let model: Model;
  let whole: Float32Array;

  it("agrees with the reference runtime in float64", async () => {
    const weights = lively(spec);
    model = await createModel(spec, { runtime: await wasm(), weights });
    whole = (await model.forward(rows)).logits;
    const short = rows.map((row) => row.slice(0, 9));
    const reference = await createModel(spec, { runtime: createReferenceRuntime(), weights });
    closeTo((await model.forward(short)).logits, (await reference.forward(short)).logits, tolerance);
    await reference.close();
  });

  it("gives the same logits one token at a time", async () => {
    const state = model.createState(2);
    for (let t = 0; t < LENGTH; t++) {
      const { logits } = await model.forward(
        rows.map((row) => row.slice(t, t + 1)),
        { state },
      );
      for (const b of [0, 1]) {
        const from = (b * LENGTH + t) * width;
        closeTo(logits.subarray(b * width, (b + 1) * width), whole.subarray(from, from + width), tolerance);
      }
    }
    expect(Array.from(state.positions)).toEqual([LENGTH, LENGTH]);
  });

  it("gives the same logits for any split into chunks", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 6 }), async (sizes) => {
        const state = model.createState(2, { context: LENGTH });
        let start = 0;
        for (const size of [...sizes, LENGTH]) {
          const chunk = rows.map((row) => row.slice(start, start + size));
          if (chunk[0]?.length === 0) break;
          const length = chunk[0]?.length ?? 0;
          const { logits } = await model.forward(chunk, { state });
          for (const b of [0, 1]) {
            const from = (b * LENGTH + start) * width;
            closeTo(
              logits.subarray(b * length * width, (b + 1) * length * width),
              whole.subarray(from, from + length * width),
              tolerance,
            );
          }
          start += length;
        }
      }),
      { numRuns: 6 },
    );
  });

  it("continues from a state that was saved, loaded and handed to another model of the same spec", async () => {
    const state = model.createState(2, { context: LENGTH });
    await model.forward(
      rows.map((row) => row.slice(0, 20)),
      { state },
    );
    const bytes = await state.save();
    const copy = await state.clone();
    const rest = rows.map((row) => row.slice(20));
    const expected = (await model.forward(rest, { state })).logits;
    const weights = new Map([...(await model.weights())].map(([name, { data }]) => [name, data] as const));
    const other = await createModel(spec, { runtime: await wasm(), weights });
    const loaded = await other.loadState(bytes);
    expect((await other.forward(rest, { state: loaded })).logits).toEqual(expected);
    expect((await model.forward(rest, { state: copy })).logits).toEqual(expected);
    await other.close();
  });

  it("computes each batch row on its own", async () => {
    const alone = (await model.forward(rows[1] ?? [])).logits;
    closeTo(whole.subarray(LENGTH * width), alone, 1e-6);
  });

  it("keeps a state of the size that its layout says, which windows and SSMs bound", () => {
    const states = model.stateLayout.tensors;
    const small = model.createState(1, { context: 128 }).byteLength;
    const large = model.createState(1, { context: 4096 }).byteLength;
    const grows = states.some(({ shape }) => shape.includes("C"));
    if (!grows && states.every(({ shape }) => !shape.some((dim) => String(dim).startsWith("C<"))))
      expect(large).toBe(small);
    expect(large >= small).toBe(true);
    if (grows) expect(large).toBeGreaterThan(small);
  });

  it("plans working memory within 10% of the liveness bound, for inference and training", () => {
    for (const graph of [
      optimise(buildForward(spec, { stateful: true })),
      buildGradients(spec, { checkpointing: false, accumulate: false, microBatches: 1 }),
      buildGradients(spec, { checkpointing: true, accumulate: false, microBatches: 1 }),
    ]) {
      const { requests } = plan(graph, { B: 2, T: 128, C: 128 });
      const { offsets, size } = packArena(requests, 64);
      expect(size).toBeLessThanOrEqual(1.1 * lowerBound(requests, 64));
      expect(offsets).toHaveLength(requests.length);
    }
  });

  it("closes", () => model.close());
});
