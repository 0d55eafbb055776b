// How close are matrix products to what the machine can do, and to the peers? `npx tsx bench/matmul.ts [--json file]`
// GEMM: against a loop of multiply-adds in registers, onnxruntime-node and TensorFlow.js WASM. Decoding: bytes of weights
// per second, against a loop that only reads. Training shapes: the products of one layer and their gradients.
import { Tensor } from "onnxruntime-node";
import { type Contender, Report, race } from "./harness.ts";
import { KernelBench } from "./kernels.ts";
import { onnxSession, tensorflowWasm } from "./peers.ts";

const build = process.argv.includes("--simd") ? "simd" : "relaxed";
const threads = 2;
const bench = await KernelBench.start(build, threads, 640);
const tf = await tensorflowWasm();
const report = new Report(`matmul (${build} build)`);

function random(size: number): Float32Array {
  return Float32Array.from({ length: size }, () => Math.random() - 0.5);
}

const a = bench.allocate(4096 * 1024);
const b = bench.allocate(2048 * 1024);
const out = bench.allocate(4096 * 1024);
const scratch = bench.allocate(threads * (512 * 512 + 528 * 96));
const weights = bench.allocate(50288 * 768);
a.data.set(random(a.data.length));
b.data.set(random(b.data.length));
weights.data.set(random(1 << 20));
for (let filled = 1 << 20; filled < weights.data.length; filled *= 2) weights.data.copyWithin(filled, 0, filled);

interface Product {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
}

const plain = ({ m, n, k, transposeA = false, transposeB = false }: Product, count = threads) => {
  const steps = Math.min(k, 512);
  const stride = 4 * (steps * Math.min(512, 16 * Math.ceil(n / 16)) + (transposeA ? (steps + 16) * 96 : 0));
  const words = [
    a.address,
    b.address,
    0,
    out.address,
    scratch.address,
    1,
    m,
    n,
    k,
    +transposeA,
    +transposeB,
    0,
    stride,
  ];
  return () => bench.run("matmul", words, count);
};
const packed = ({ m, n, k }: Product, count = threads) => {
  const words = [a.address, weights.address, 0, out.address, m, n, k];
  return () => bench.run("matmul_panels", words, count);
};

/** onnxruntime with the weight as a constant, which it packs when it loads the model, or as an input. */
async function onnxruntime({ m, n, k }: Product, weight?: Float32Array): Promise<Contender> {
  const shape = [k, n];
  const session = await onnxSession({
    nodes: [{ op: "MatMul", inputs: ["a", "b"], outputs: ["y"] }],
    inputs: weight === undefined ? { a: [m, k], b: shape } : { a: [m, k] },
    outputs: { y: [m, n] },
    weights: weight === undefined ? {} : { b: { shape, data: weight } },
  });
  const feeds: Record<string, Tensor> = { a: new Tensor("float32", random(m * k), [m, k]) };
  if (weight === undefined) feeds.b = new Tensor("float32", random(k * n), shape);
  const name = `onnxruntime-node, ${weight === undefined ? "plain" : "packed"} b`;
  return { name, run: () => session.run(feeds) };
}

function tensorflow({ m, n, k }: Product): Contender {
  const [x, y] = [tf.tensor2d(random(m * k), [m, k]), tf.tensor2d(random(k * n), [k, n])];
  return { name: "tfjs-backend-wasm", run: () => tf.matMul(x, y).dispose() };
}

{
  const size = 1024;
  const product = { m: size, n: size, k: size };
  const steps = Math.round((2 * size ** 3) / 80 / threads);
  const ceiling = (count: number) => () =>
    bench.run("bench_multiply_add", [out.address, (steps * threads) / count], count);
  report.add({
    title: `${size} × ${size} × ${size}`,
    work: (2 * size ** 3) / 1e9,
    unit: "GFLOP",
    timings: await race([
      { name: "hybraid, packed weight", run: packed(product) },
      { name: "hybraid, plain", run: plain(product) },
      { name: "hybraid, plain, b transposed", run: plain({ ...product, transposeB: true }) },
      { name: "hybraid, plain, a transposed", run: plain({ ...product, transposeA: true }) },
      { name: "hybraid, packed weight, 1 thread", run: packed(product, 1) },
      { name: "ceiling: multiply-adds in registers", run: ceiling(threads) },
      { name: "ceiling, 1 thread", run: ceiling(1) },
      await onnxruntime(product),
      await onnxruntime(product, random(size * size)),
      tensorflow(product),
    ]),
  });
}

const training: readonly (readonly [string, Product])[] = [
  ["projection up, 128 → 512", { m: 2048, n: 512, k: 128, transposeB: true }],
  ["its gradient for x", { m: 2048, n: 128, k: 512 }],
  ["its gradient for the weight", { m: 512, n: 128, k: 2048, transposeA: true }],
  ["Mamba's x_proj, 256 → 40", { m: 2048, n: 40, k: 256, transposeB: true }],
  ["Mamba's dt_proj, 8 → 256", { m: 2048, n: 256, k: 8, transposeB: true }],
  ["head, 128 → 256", { m: 2048, n: 256, k: 128, transposeB: true }],
];
for (const [title, product] of training) {
  const { m, n, k } = product;
  report.add({
    title: `${title}: ${m} × ${n} × ${k}`,
    work: (2 * m * n * k) / 1e9,
    unit: "GFLOP",
    timings: await race([
      { name: "hybraid", run: plain(product) },
      { name: "hybraid, 1 thread", run: plain(product, 1) },
      await onnxruntime(product),
      tensorflow(product),
    ]),
  });
}

for (const [k, n] of [
  [768, 3072],
  [768, 50280],
] as const) {
  const product = { m: 1, n, k };
  const contenders = [
    { name: "hybraid", run: packed(product) },
    { name: "hybraid, 1 thread", run: packed(product, 1) },
    { name: "ceiling: reading only", run: () => bench.run("bench_read", [weights.address, out.address, n * k]) },
    await onnxruntime(product, weights.data.slice(0, n * k)),
    ...(n < 10_000 ? [tensorflow(product)] : []),
  ];
  report.add({
    title: `decoding, one row, ${k} → ${n}`,
    work: (4 * n * k) / 1e9,
    unit: "GB",
    timings: await race(contenders),
  });
}

report.finish();
await bench.close();
process.exit(0);
