// What does the map interpreter cost over a loop written by hand? `npx tsx bench/map.ts [--threads n] [--json file]`
// Each expression in cache and out of it, against the loop one would write for it alone, and against a copy.
import * as ex from "../src/graph/expression.ts";
import { mapOp } from "../src/ops/map/op.ts";
import { lower } from "../src/ops/map/wasm.ts";
import { Report, race } from "./harness.ts";
import { KernelBench } from "./kernels.ts";
import { benchTensor, lowered } from "./lowered.ts";

const build = process.argv.includes("--simd") ? "simd" : "relaxed";
const at = process.argv.indexOf("--threads");
const threads = at < 0 ? 2 : Number(process.argv[at + 1]);
const bench = await KernelBench.start(build, threads, 1024);
const report = new Report(`map (${build} build, ${threads} threads)`);
const [x, y, z] = [ex.input(0), ex.input(1), ex.input(2)];

for (const [place, rows, columns] of [
  ["in cache", 64, 768],
  ["out of cache", 16384, 768],
] as const) {
  const count = rows * columns;
  const [a, b, c] = [1, 2, 3].map(() => benchTensor(bench, [rows, columns]));
  const bias = benchTensor(bench, [columns]);
  const out = benchTensor(bench, [rows, columns], false);
  const heads = rows * (columns / 64);
  const scales = benchTensor(bench, [heads, 1]);
  if (!a || !b || !c) throw new Error("no memory");
  const byHead = { ...a, shape: [heads, 64] };
  const cases = [
    {
      title: "a * b",
      expression: ex.mul(x, y),
      inputs: [a, b],
      kernel: "bench_mul",
      words: [a, b, out, count],
      streams: 3,
    },
    {
      title: "x + bias",
      expression: ex.add(x, y),
      inputs: [a, bias],
      kernel: "bench_bias",
      words: [a, bias, out, rows, columns],
      streams: 2,
    },
    {
      title: "x * one per head of 64",
      expression: ex.mul(x, y),
      inputs: [byHead, scales],
      kernel: "bench_row_scale",
      words: [a, scales, out, heads, 64],
      streams: 2,
    },
    {
      title: "silu(a) * b",
      expression: ex.mul(ex.silu(x), y),
      inputs: [a, b],
      kernel: "bench_silu_mul",
      words: [a, b, out, count],
      streams: 3,
    },
    {
      title: "silu'(a) * b * c",
      expression: ex.mul(ex.derivative(ex.mul(ex.silu(x), y), 0), z),
      inputs: [a, b, c],
      kernel: "bench_silu_gradient",
      words: [a, b, c, out, count],
      streams: 4,
    },
  ];
  for (const { title, expression, inputs, kernel, words, streams } of cases) {
    const ours = lowered(bench, mapOp, lower, inputs, { expression }, threads);
    const encoded = words.map((word) => (typeof word === "number" ? word : word.address));
    const timings = await race(
      [
        { name: "map", run: ours.run },
        { name: "by hand", run: () => bench.run(kernel, encoded, threads) },
        { name: "copy of a", run: () => bench.run("copy", [a.address, out.address, count], threads) },
      ],
      { rounds: 7, turn: 0.02 },
    );
    report.add({
      title: `${title}, [${rows}, ${columns}], ${place}`,
      work: (streams * count * 4) / 1e9,
      unit: "GB",
      timings,
    });
  }
}
report.finish();
await bench.close();
