// What does choosing cost? `npx tsx bench/experts.ts [--simd] [--json file]` races products whose rows choose one of 32 experts
// against dense products of as many multiply-adds (decoding: of as many weights), which are the floor. Choices are random, so
// that experts have different numbers of rows.
import { sizeOf } from "../src/graph/shape.ts";
import type { OpDefinition } from "../src/graph/types.ts";
import { expertMatmulOp } from "../src/ops/expert-matmul/op.ts";
import { lower as lowerExperts } from "../src/ops/expert-matmul/wasm.ts";
import { expertMatmulGradientOp } from "../src/ops/expert-matmul-gradient/op.ts";
import { lower as lowerExpertsGradient } from "../src/ops/expert-matmul-gradient/wasm.ts";
import { groupRowsOp } from "../src/ops/group-rows/op.ts";
import { lower as lowerGroupRows } from "../src/ops/group-rows/wasm.ts";
import { matmulOp } from "../src/ops/matmul/op.ts";
import { lower as lowerMatmul } from "../src/ops/matmul/wasm.ts";
import { matmulGradientOp } from "../src/ops/matmul-gradient/op.ts";
import { lower as lowerMatmulGradient } from "../src/ops/matmul-gradient/wasm.ts";
import type { WasmLowering } from "../src/runtime/wasm/lowering.ts";
import { type Contender, Report, race } from "./harness.ts";
import { KernelBench } from "./kernels.ts";
import { type BenchTensor, benchTensor, lowered } from "./lowered.ts";

const build = process.argv.includes("--simd") ? "simd" : "relaxed";
const threads = 2;
const bench = await KernelBench.start(build, threads, 1024);
const report = new Report(`experts (${build} build)`);

const [EXPERTS, CHOICES, WIDTH, DEPTH] = [32, 4, 512, 1024];

function integers(values: ArrayLike<number>, shape: readonly number[]): BenchTensor {
  const tensor = benchTensor(bench, shape, false);
  new Int32Array(tensor.data.buffer, tensor.address, values.length).set(values);
  return { ...tensor, dtype: "i32" };
}

/** `count` different experts. */
function choose(count: number): number[] {
  const left = Array.from({ length: EXPERTS }, (_, e) => e);
  return Array.from({ length: count }, () => left.splice(Math.floor(Math.random() * left.length), 1)[0] ?? 0);
}

const packed = (tensor: BenchTensor): BenchTensor => ({ ...tensor, layout: "panels" });

/** Inputs of a layer for `tokens` tokens, and what sorts their rows. */
function layer(tokens: number) {
  const rows = [tokens, CHOICES];
  const choices = Array.from({ length: tokens }, () => choose(CHOICES)).flat();
  const indices = integers(choices, rows);
  const sort = lowered(bench, groupRowsOp, lowerGroupRows, [indices], { experts: EXPERTS }, 1);
  sort.run();
  const [order, starts] = sort.outputs.map((output): BenchTensor => ({ ...output, dtype: "i32" }));
  return { rows, sort, routing: [indices, order, starts] };
}

const contender = <A>(
  name: string,
  op: OpDefinition<A>,
  lower: WasmLowering<A>,
  inputs: readonly (BenchTensor | undefined)[],
  attributes: A,
): Contender => ({ name, run: lowered(bench, op, lower, inputs, attributes, threads).run });

/** The layer's product with packed weights; the dense one has the rows (or, for one token, the weights) of all choices. */
async function inference(title: string, tokens: number, work: number, unit: string): Promise<void> {
  const { sort, routing } = layer(tokens);
  const x = benchTensor(bench, [tokens, DEPTH]);
  const weight = packed(benchTensor(bench, [EXPERTS, WIDTH, DEPTH]));
  const dense =
    tokens === 1
      ? [x, packed({ ...weight, shape: [CHOICES * WIDTH, DEPTH] })]
      : [benchTensor(bench, [tokens * CHOICES, DEPTH]), packed({ ...weight, shape: [WIDTH, DEPTH] })];
  report.add({
    title,
    work,
    unit,
    timings: await race([
      contender("experts", expertMatmulOp, lowerExperts, [x, weight, ...routing], { transposed: false }),
      contender("dense", matmulOp, lowerMatmul, dense, { transposeA: false, transposeB: true }),
      { name: "sorting the rows", run: sort.run },
    ]),
  });
}

async function training(title: string, tokens: number): Promise<void> {
  const { rows, routing } = layer(tokens);
  const x = benchTensor(bench, [tokens, DEPTH]);
  const weight = benchTensor(bench, [EXPERTS, WIDTH, DEPTH]);
  const dy = benchTensor(bench, [...rows, WIDTH]);
  const flat = { x: benchTensor(bench, [sizeOf(rows), DEPTH]), dy: { ...dy, shape: [sizeOf(rows), WIDTH] } };
  const one = { ...weight, shape: [WIDTH, DEPTH] };
  report.add({
    title,
    work: (2 * sizeOf(rows) * WIDTH * DEPTH) / 1e9,
    unit: "GFLOP",
    timings: await race([
      contender("experts, forward", expertMatmulOp, lowerExperts, [x, weight, ...routing], { transposed: false }),
      contender("dense, forward", matmulOp, lowerMatmul, [flat.x, one], { transposeA: false, transposeB: true }),
      contender("experts, gradient of x", expertMatmulOp, lowerExperts, [dy, weight, ...routing], { transposed: true }),
      contender("dense, gradient of x", matmulOp, lowerMatmul, [flat.dy, one], {
        transposeA: false,
        transposeB: false,
      }),
      contender("experts, gradient of weights", expertMatmulGradientOp, lowerExpertsGradient, [x, dy, ...routing], {}),
      contender("dense, gradient of weights", matmulGradientOp, lowerMatmulGradient, [flat.x, flat.dy], {
        transposeB: true,
      }),
    ]),
  });
}

const product = 2 * CHOICES * WIDTH * DEPTH;
await inference("prefill, 512 tokens", 512, (512 * product) / 1e9, "GFLOP");
await inference("prefill, 16 tokens", 16, (16 * product) / 1e9, "GFLOP");
await inference("decoding, 1 token", 1, (4 * CHOICES * WIDTH * DEPTH) / 1e9, "GB");
await training("training, 8 × 64 tokens", 512);
report.finish();
await bench.close();
