// gather and its gradient.
import { expect, test } from "vitest";
import { input } from "../../src/graph/leaves.ts";
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
  numbers,
  wasmEngines,
} from "./evaluate.ts";
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
