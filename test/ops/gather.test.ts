// gather and its gradient.
import { describe, expect, test } from "vitest";
import { input, parameter } from "../../src/graph/leaves.ts";
import { gather, gatherOp } from "../../src/ops/gather/op.ts";
import { lower } from "../../src/ops/gather/wasm.ts";
import { gatherGradient } from "../../src/ops/gather-gradient/op.ts";
import {
  engines,
  evaluate,
  expectClose,
  expectEnginesAgree,
  expectGradients,
  feedOf,
  gpuEngines,
  numbers,
  wasmEngines,
} from "./evaluate.ts";
import { expectAgreement, expectCut, runOn } from "./gpu.ts";
import { testRuntime } from "./harness.ts";
import { type HostInput, runLowered } from "./lowered.ts";

const indices = (shape: readonly number[], data: readonly number[]): HostInput => ({ shape, dtype: "i32", data });

test("rows come out in the shape of the indices, and gradients go back where they came from", async () => {
  const table = input("table", [5, 3]);
  const y = gather(table, input("indices", [2, 3], "i32"));
  expect(y.shape).toEqual([2, 3, 3]);
  const feed = feedOf({ table: [5, 3] }).set("indices", indices([2, 3], [4, 0, 0, 2, 4, 4]));
  const [rows = []] = await evaluate([y], feed);
  expect(Array.from(rows).slice(0, 3)).toEqual(Array.from(feed.get("table")?.data ?? []).slice(12, 15));
  await expectGradients([y], [table], feed);
});

test("any width and number of indices on every engine, forward and back", async () => {
  for (const [rows, width, count] of [
    [1, 1, 1],
    [7, 3, 20],
    [50, 16, 9],
    [33, 100, 65],
    [3, 257, 2],
  ] as const) {
    const feed = feedOf({ table: [rows, width], dy: [count, width] });
    feed.set(
      "indices",
      indices(
        [count],
        Array.from({ length: count }, (_, i) => (i * i * 31) % rows),
      ),
    );
    const at = input("indices", [count], "i32");
    await expectEnginesAgree(
      [gather(input("table", [rows, width]), at), gatherGradient(at, input("dy", [count, width]), rows)],
      feed,
    );
  }
});

test("the gradient is the same to the bit for any number of threads", async () => {
  const feed = feedOf({ dy: [300, 50] }).set(
    "indices",
    indices(
      [300],
      Array.from({ length: 300 }, (_, i) => i % 7),
    ),
  );
  const gradient = gatherGradient(input("indices", [300], "i32"), input("dy", [300, 50]), 8);
  const runs = await Promise.all(
    [1, 2, 3, 4].map(async (threads) => {
      const [run] = await evaluate([gradient], feed, { name: "", wasm: { build: "simd", threads } });
      return run;
    }),
  );
  for (const run of runs) expect(run).toEqual(runs[0]);
});

test("an index that is no row gives NaN, and adds nothing to the gradient", async () => {
  const feed = feedOf({ table: [4, 5], dy: [3, 5] }).set("indices", indices([3], [4, -1, 2]));
  const at = input("indices", [3], "i32");
  for (const engine of engines) {
    const [y = [], gradient = []] = await evaluate(
      [gather(input("table", [4, 5]), at), gatherGradient(at, input("dy", [3, 5]), 4)],
      feed,
      engine,
    );
    expect(Array.from(y).map(Number.isNaN)).toEqual([...new Array(10).fill(true), ...new Array(5).fill(false)]);
    expect(Array.from(gradient).filter((g) => g !== 0)).toHaveLength(5);
  }
});

describe("on the GPU", () => {
  const spread = (count: number, rows: number) =>
    indices(
      [count],
      Array.from({ length: count }, (_, i) => (i * i * 31 + 7 * i) % rows),
    );

  test.each([
    ["several blocks of indices", 100, 12, 1300],
    ["several rows of the table a workgroup", 1100, 4, 600],
    ["single elements", 70, 3, 90],
    ["parts of the indices where rows are hit often", 8, 20, 5000],
  ])("%s", async (_, rows, width, count) => {
    const feed = feedOf({ table: [rows, width], dy: [count, width] }).set("indices", spread(count, rows));
    const at = input("indices", [count], "i32");
    const gradient = gatherGradient(at, input("dy", [count, width]), rows);
    await expectAgreement(gpuEngines, [gather(input("table", [rows, width]), at), gradient], feed);
    // The same additions in the same order.
    const runtime = await testRuntime("webgpu/adapter");
    const runs = [await runOn(runtime, [gradient], feed), await runOn(runtime, [gradient], feed)];
    expect(runs[0]?.outputs).toEqual(runs[1]?.outputs);
    expect(runs[0]?.kernels).toHaveLength(count > 16 * 2 * rows ? 2 : 1);
  });

  test("tables, rows and gradients larger than a binding are cut", async () => {
    const feed = feedOf({ table: [500, 48], dy: [700, 48] });
    feed.set("indices", indices([700], [-1, 500, ...Array.from({ length: 698 }, (_, i) => (i * 37) % 500)]));
    const at = input("indices", [700], "i32");
    await expectCut([gather(input("table", [500, 48]), at)], feed);
    await expectCut([gatherGradient(at, input("dy", [700, 48]), 500)], feed);
  });

  test.each([
    ["f16", 24, "webgpu/adapter"],
    ["int8", 64, "webgpu/default"],
    ["int8", 9, "webgpu/default"],
    ["int4", 64, "webgpu/default"],
    ["int4", 12, "webgpu/default"],
    ["int4", 9, "webgpu/adapter"],
  ] as const)("a table stored as %s, rows of %i", async (storage, width, name) => {
    const runtime = await testRuntime(name);
    const type = { shape: [40, width], dtype: "f32" as const };
    const ids = [0, 39, 17, 5, 39];
    try {
      const table = runtime.buffer(type, numbers(40 * width), { storage });
      const stored = await table.read();
      const y = gather(parameter("table", type.shape, { kind: "zeros" }), input("indices", [5], "i32"));
      const feed = new Map([["indices", indices([5], ids)]]);
      const { outputs } = await runOn(runtime, [y], feed, new Map([["table", table]]));
      const expected = ids.flatMap((id) => Array.from(stored.slice(id * width, (id + 1) * width)));
      expectClose("rows", outputs[0] ?? [], expected, 1e-6);
      table.free();
    } catch (error) {
      // The software device may lack shader-f16.
      if (storage !== "f16" || !/shader-f16/.test(String(error))) throw error;
    }
  });
});

test("a table packed in panels of 16 rows gives the same rows", async () => {
  const [rows, width] = [37, 9];
  const table = numbers(rows * width);
  const packed = new Float32Array(Math.ceil(rows / 16) * 16 * width);
  for (let v = 0; v < rows; v++) {
    for (let k = 0; k < width; k++) packed[((v >> 4) * width + k) * 16 + (v & 15)] = table[v * width + k] ?? 0;
  }
  const ids = indices([6], [0, 36, 16, 15, 17, 40]);
  const expected = runLowered(gatherOp, lower, [{ shape: [rows, width], dtype: "f32", data: table }, ids], {});
  for (const { wasm } of wasmEngines) {
    const inputs: HostInput[] = [{ shape: [rows, width], dtype: "f32", data: packed, layout: "panels" }, ids];
    expectClose("rows", runLowered(gatherOp, lower, inputs, {}, wasm)[0] ?? [], expected[0] ?? [], 0);
  }
});

test("inputs that do not fit are named", async () => {
  const at = input("indices", [3], "i32");
  expect(() => gather(input("table", [4]), at)).toThrow(/gather: the table is f32 \[4\]/);
  expect(() => gather(input("table", [4, 5]), input("i", [3]))).toThrow(/indices are f32, must be i32/);
  expect(() => gatherGradient(at, input("dy", [2, 5]), 4)).toThrow(/dy \[2, 5\] does not fit indices \[3\]/);
});
