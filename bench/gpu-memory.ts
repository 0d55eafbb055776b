// How does the memory of attention and of the scans grow with the length? `npx tsx bench/gpu-memory.ts` plots what a forward and
// a backward pass take on the GPU, values and scratch, from 1024 to 65536 tokens, and writes docs/images/gpu-memory.svg. Programs
// are compiled, and their memory is allocated, but nothing runs: a program's arena is all that it ever takes.
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Tensor } from "../src/graph/types.ts";
import { attention } from "../src/ops/attention/op.ts";
import { differentiate } from "../src/ops/gradients.ts";
import { linearAttention, type UpdateRule } from "../src/ops/linear-attention/op.ts";
import { selectiveScan } from "../src/ops/selective-scan/op.ts";
import { required } from "../src/ops/types.ts";
import { linePlot } from "../src/plot/line-plot.ts";
import { type GpuInput, gpuOp, openGpu } from "./gpu.ts";
import { formatTable } from "./harness.ts";

const LENGTHS = [1024, 2048, 4096, 8192, 16384, 32768, 65536];
const HEADS = 8;
const WIDTH = 64;
const STATES = 16;

type Get = (name: string) => Tensor;
interface Case {
  readonly name: string;
  readonly shapes: (tokens: number) => Readonly<Record<string, readonly number[]>>;
  readonly output: (x: Get) => Tensor;
}

const heads = (tokens: number): number[] => [1, tokens, HEADS, WIDTH];
const attending = (name: string, window: number): Case => ({
  name,
  shapes: (tokens) => ({ q: heads(tokens), k: [1, tokens, 2, WIDTH], v: [1, tokens, 2, WIDTH] }),
  output: (x) => attention(x("q"), x("k"), x("v"), { window }).output,
});
const linear = (name: string, rule: UpdateRule): Case => ({
  name,
  shapes: (tokens) => ({
    ...{ q: heads(tokens), k: heads(tokens), v: heads(tokens), decay: [1, tokens, HEADS] },
    ...(rule === "gated_delta" ? { beta: [1, tokens, HEADS] } : {}),
  }),
  output: (x) =>
    linearAttention(rule, x("q"), x("k"), x("v"), {
      decay: x("decay"),
      ...(rule === "gated_delta" ? { beta: x("beta") } : {}),
    }).output,
});

const cases: readonly Case[] = [
  attending("attention", 0),
  attending("attention, window 256", 256),
  {
    name: "selective scan",
    shapes: (tokens) => ({
      ...{ u: [1, tokens, HEADS * WIDTH], delta: [1, tokens, HEADS * WIDTH], A: [HEADS * WIDTH, STATES] },
      ...{ B: [1, tokens, STATES], C: [1, tokens, STATES] },
    }),
    output: (x) => selectiveScan(x("u"), x("delta"), x("A"), x("B"), x("C"), {}).output,
  },
  linear("gated linear attention", "gated"),
  linear("gated delta rule", "gated_delta"),
];

const runtime = await openGpu();

async function bytesOf({ shapes, output }: Case, tokens: number): Promise<number> {
  const all: Record<string, readonly number[]> = { ...shapes(tokens), dy: heads(tokens) };
  if (all.u !== undefined) all.dy = all.u;
  const inputs = Object.fromEntries(
    Object.entries(all).map(([name, shape]): [string, GpuInput] => [name, { shape, data: new Float32Array(0) }]),
  );
  const { program } = await gpuOp(runtime, inputs, (tensors) => {
    const y = output((name) => required(tensors[name], name));
    const wrt = Object.entries(tensors).filter(([name]) => name !== "dy");
    const gradients = differentiate(
      [{ tensor: y, gradient: required(tensors.dy, "dy") }],
      wrt.map(([, tensor]) => tensor),
    );
    return Object.fromEntries([["y", y], ...wrt.map(([name], i) => [`d${name}`, required(gradients[i], name)])]);
  });
  const bytes = program.arenaBytes;
  program.free();
  return bytes;
}

const rows: string[][] = [];
const series = [];
for (const one of cases) {
  const points: [number, number][] = [];
  for (const tokens of LENGTHS) points.push([tokens, await bytesOf(one, tokens)]);
  series.push({ name: one.name, points, dots: true });
  rows.push([one.name, ...points.map(([, bytes]) => `${(bytes / 2 ** 20).toFixed(1)} MiB`)]);
  const [[, first = 0] = [], [, last = 0] = []] = [points[0], points.at(-1)];
  console.log(`${one.name}: × ${(last / first).toFixed(1)} from ${LENGTHS[0]} to ${LENGTHS.at(-1)} tokens`);
}
const scores = LENGTHS.map((tokens): [number, number] => [tokens, 4 * HEADS * tokens * tokens]);
series.push({ name: "attention's scores, if they were kept", points: scores, style: "dashed" as const });
console.log(formatTable([["", ...LENGTHS.map(String)], ...rows]));
writeFileSync(
  fileURLToPath(new URL("../docs/images/gpu-memory.svg", import.meta.url)),
  `${linePlot({
    title: "GPU memory of a forward and backward pass",
    subtitle: `values and scratch of one op; ${HEADS} heads of ${WIDTH} channels, ${STATES} states a channel in the selective scan`,
    xLabel: "tokens",
    yLabel: "bytes",
    xScale: "log",
    yScale: "log",
    yFormat: "metric",
    series,
  })}\n`,
);
await runtime.close();
process.exit(0);
