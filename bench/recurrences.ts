// Are the recurrences with a state per channel bound by memory? `npx tsx bench/recurrences.ts [--simd]`
// rg_lru (reads two sequences, writes one) and wkv (the same), forward and backward, against the loop that one would write, and
// against a copy of as many bytes, the floor. Work is counted in channels times tokens.
import { rgLruOp } from "../src/ops/rg-lru/op.ts";
import { lower as lowerLru } from "../src/ops/rg-lru/wasm.ts";
import { rgLruGradientOp } from "../src/ops/rg-lru-gradient/op.ts";
import { lower as lowerLruGradient } from "../src/ops/rg-lru-gradient/wasm.ts";
import { wkvOp } from "../src/ops/wkv/op.ts";
import { lower as lowerWkv } from "../src/ops/wkv/wasm.ts";
import { wkvGradientOp } from "../src/ops/wkv-gradient/op.ts";
import { lower as lowerWkvGradient } from "../src/ops/wkv-gradient/wasm.ts";
import { type Contender, Report, race } from "./harness.ts";
import { KernelBench } from "./kernels.ts";
import { type BenchTensor, benchTensor, lowered } from "./lowered.ts";

const threads = 2;
const bench = await KernelBench.start(process.argv.includes("--simd") ? "simd" : "relaxed", threads, 512);
const report = new Report("recurrences with a state per channel");

type Shape = readonly [batch: number, tokens: number, channels: number];

function filled(shape: readonly number[], low: number, high: number): BenchTensor {
  const tensor = benchTensor(bench, shape, false);
  for (let i = 0; i < tensor.data.length; i++) tensor.data[i] = low + (high - low) * Math.random();
  return tensor;
}

/** Copies `sequences` halves of what is read and written together. */
function copy(shape: Shape, sequences: number): Contender {
  const size = shape.reduce((n, dim) => n * dim, 1);
  const [from, to] = [new Float32Array((size * sequences) / 2).fill(1), new Float32Array((size * sequences) / 2)];
  return { name: "copy of as many bytes, 1 thread", run: () => to.set(from) };
}

function lruLoop([batch, tokens, channels]: Shape, x: Float32Array, logA: Float32Array): Contender {
  const y = new Float32Array(x.length);
  const run = (): void => {
    for (let row = 0; row < batch; row++) {
      for (let c = 0; c < channels; c++) {
        let h = 0;
        for (let t = 0, at = row * tokens * channels + c; t < tokens; t++, at += channels) {
          const a = Math.exp(logA[at] ?? 0);
          h = a * h + (t === 0 ? 1 : Math.sqrt(1 - a * a)) * (x[at] ?? 0);
          y[at] = h;
        }
      }
    }
  };
  return { name: "plain TypeScript loop", run };
}

function wkvLoop([batch, tokens, channels]: Shape, inputs: readonly Float32Array[]): Contender {
  const [k, v, w, u] = inputs as [Float32Array, Float32Array, Float32Array, Float32Array];
  const y = new Float32Array(k.length);
  const run = (): void => {
    for (let row = 0; row < batch; row++) {
      for (let c = 0; c < channels; c++) {
        let [num, den, most] = [0, 0, -1e38];
        for (let t = 0, at = row * tokens * channels + c; t < tokens; t++, at += channels) {
          const [key, value] = [k[at] ?? 0, v[at] ?? 0];
          const top = Math.max(most, (u[c] ?? 0) + key);
          const [kept, fresh] = [Math.exp(most - top), Math.exp((u[c] ?? 0) + key - top)];
          y[at] = (kept * num + fresh * value) / (kept * den + fresh);
          const next = Math.max((w[c] ?? 0) + most, key);
          const [faded, added] = [Math.exp((w[c] ?? 0) + most - next), Math.exp(key - next)];
          num = faded * num + added * value;
          den = faded * den + added;
          most = next;
        }
      }
    }
  };
  return { name: "plain TypeScript loop", run };
}

async function add(title: string, shape: Shape, contenders: readonly Contender[]): Promise<void> {
  const work = shape.reduce((n, dim) => n * dim, 1) / 1e6;
  report.add({ title, work, unit: "M channel tokens", timings: await race(contenders) });
}

const name = (count: number): string => (count === 1 ? "hybraid, 1 thread" : "hybraid");

async function lru(shape: Shape): Promise<void> {
  const [x, logA] = [filled(shape, -1, 1), filled(shape, -0.5, -0.001)];
  const forward = (count: number) => lowered(bench, rgLruOp, lowerLru, [x, logA, undefined, undefined], {}, count, [1]);
  const runs = [threads, 1].map((count) => ({ name: name(count), run: forward(count).run }));
  await add(`rg_lru, ${shape.join(" × ")}`, shape, [...runs, lruLoop(shape, x.data, logA.data), copy(shape, 3)]);
  const { outputs, run } = forward(threads);
  run();
  const inputs = [x, logA, undefined, undefined, outputs[0], filled(shape, -1, 1), undefined];
  const back = [threads, 1].map((count) => ({
    name: name(count),
    run: lowered(bench, rgLruGradientOp, lowerLruGradient, inputs, {}, count, [2]).run,
  }));
  await add(`rg_lru, backwards, ${shape.join(" × ")}`, shape, [...back, copy(shape, 6)]);
}

async function wkv(shape: Shape): Promise<void> {
  const channels = [shape[2]];
  const inputs = [filled(shape, -2, 2), filled(shape, -1, 1), filled(channels, -1, -0.01), filled(channels, -1, 1)];
  const forward = (count: number, unused: readonly number[]) =>
    lowered(bench, wkvOp, lowerWkv, [...inputs, undefined], {}, count, unused);
  const runs = [threads, 1].map((count) => ({ name: name(count), run: forward(count, [1, 2]).run }));
  const data = inputs.map((tensor) => tensor.data);
  await add(`wkv, ${shape.join(" × ")}`, shape, [...runs, wkvLoop(shape, data), copy(shape, 3)]);
  const { outputs, run } = forward(threads, [1]);
  run();
  const backward = [...inputs, outputs[2], undefined, filled(shape, -1, 1), undefined];
  const back = [threads, 1].map((count) => ({
    name: name(count),
    run: lowered(bench, wkvGradientOp, lowerWkvGradient, backward, {}, count, [4]).run,
  }));
  await add(`wkv, backwards, ${shape.join(" × ")}`, shape, [...back, copy(shape, 8)]);
}

for (const shape of [
  [1, 1, 2560],
  [1, 512, 2560],
  [8, 256, 512],
] as const) {
  await lru(shape);
  await wkv(shape);
}
await bench.close();
report.finish();
