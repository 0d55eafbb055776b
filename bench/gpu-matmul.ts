// How fast are matrix products on the GPU, against onnxruntime's WebGPU provider and TensorFlow.js's WebGPU backend on the same
// device? `npx tsx bench/gpu-matmul.ts [--only gemm|gradient|decode] [--json file]`. Of square products onnxruntime and we get the
// operands from the host, TensorFlow.js has them there, and all hand the product back; in decoding the weights are there.
import * as tf from "@tensorflow/tfjs-core";
import { makeGraph } from "../src/graph/graph.ts";
import { input, parameter } from "../src/graph/leaves.ts";
import { matmul } from "../src/ops/matmul/op.ts";
import { matmulGradient } from "../src/ops/matmul-gradient/op.ts";
import type { Runtime, WeightStorage } from "../src/runtime/types.ts";
import { gpuOp, onnxGpuOp, openGpu, requireEqual, uniform } from "./gpu.ts";
import { type Contender, Report, race } from "./harness.ts";

const at = process.argv.indexOf("--only");
const only = at < 0 ? "" : (process.argv[at + 1] ?? "");
const report = new Report("matmul on the GPU");
const runtime = await openGpu();
const rounds = { rounds: 7, turn: 0.1 };

/** x [m, k] · wᵀ from buffers of the runtime; nothing is transferred. */
async function resident(runtime: Runtime, m: number, n: number, k: number, storage: WeightStorage) {
  const types = { x: { shape: [m, k], dtype: "f32" as const }, w: { shape: [n, k], dtype: "f32" as const } };
  const x = runtime.buffer(types.x, uniform([m, k], -1, 1, 1).data);
  const w = runtime.buffer(types.w, uniform([n, k], -1, 1, 2).data, { storage });
  const initial = { kind: "constant", value: 0 } as const;
  const y = matmul(parameter("x", [m, k], initial), parameter("w", [n, k], initial), { transposeB: true });
  const program = await runtime.compile(makeGraph({ outputs: [{ name: "y", tensor: y }] }), {
    bindings: { B: 1, T: 1, C: 0 },
    buffers: new Map([
      ["x", x],
      ["w", w],
    ]),
  });
  const contender: Contender = { name: `ours, ${storage}`, run: () => program.run({}, []) };
  const [explanation] = program.explain();
  return { contender, kernels: explanation?.kernels.join(", ") ?? "", free: () => [x, w].map((b) => b.free()) };
}

/** Kept: a device stops working when what it was made from is collected. */
let dawn: GPU | undefined;

async function openTensorflow(): Promise<void> {
  const { create, globals } = await import("webgpu");
  dawn = create([]);
  Object.assign(globalThis, globals, { navigator: { gpu: dawn } });
  const { WebGPUBackend } = await import("@tensorflow/tfjs-backend-webgpu");
  const adapter = await dawn.requestAdapter();
  if (adapter === null) throw new Error("no adapter");
  const { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize } = adapter.limits;
  const device = await adapter.requestDevice({
    requiredLimits: { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize },
  });
  tf.removeBackend("webgpu");
  tf.registerBackend("webgpu", () => new WebGPUBackend(device, adapter.info));
  await tf.setBackend("webgpu");
}

async function tensorflow(m: number, n: number, k: number): Promise<Contender> {
  if (dawn === undefined) await openTensorflow();
  const [a, b] = [tf.tensor(uniform([m, k], -1, 1, 1).data, [m, k]), tf.tensor(uniform([k, n], -1, 1, 2).data, [k, n])];
  return {
    name: "TensorFlow.js, WebGPU",
    async run() {
      const y = tf.matMul(a, b);
      await y.data();
      y.dispose();
    },
  };
}

if ("gemm".includes(only)) {
  for (const size of [512, 1024]) {
    const a = uniform([size, size], -1, 1, 1);
    const b = uniform([size, size], -1, 1, 2);
    const ours = await gpuOp(runtime, { a, b }, ({ a: x, b: y }) => ({ y: x && y ? matmul(x, y) : input("", []) }));
    const theirs = await onnxGpuOp(
      {
        nodes: [{ op: "MatMul", inputs: ["a", "b"], outputs: ["y"] }],
        inputs: { a: a.shape, b: b.shape },
        outputs: { y: a.shape },
      },
      { a, b },
    );
    await requireEqual(ours, theirs, [["y", "y"]]);
    const racers = [ours.contender("hybraid"), theirs.contender(), await tensorflow(size, size, size)];
    report.add({
      title: `${size}³: ${ours.program.explain().at(-1)?.kernels.join(", ")}`,
      work: (2 * size ** 3) / 1e9,
      unit: "GFLOP",
      timings: await race(racers, rounds),
    });
  }
}

if ("gradient".includes(only)) {
  for (const [rows, k, n] of [
    [2048, 256, 256],
    [1024, 768, 768],
  ] as const) {
    const x = uniform([rows, k], -1, 1, 1);
    const dy = uniform([rows, n], -1, 1, 2);
    const ours = await gpuOp(runtime, { x, dy }, ({ x: a, dy: b }) => ({
      y: a && b ? matmulGradient(a, b, { transposeB: true }) : input("", []),
    }));
    const theirs = await onnxGpuOp(
      {
        nodes: [
          { op: "Transpose", inputs: ["dy"], outputs: ["t"] },
          { op: "MatMul", inputs: ["t", "x"], outputs: ["y"] },
        ],
        inputs: { x: x.shape, dy: dy.shape },
        outputs: { y: [n, k] },
      },
      { x, dy },
    );
    await requireEqual(ours, theirs, [["y", "y"]]);
    report.add({
      title: `gradient of a weight [${n}, ${k}] from ${rows} rows: ${ours.program.explain().at(-1)?.kernels.join(", ")}`,
      work: (2 * rows * n * k) / 1e9,
      unit: "GFLOP",
      timings: await race([ours.contender("hybraid"), theirs.contender("onnxruntime, Transpose and MatMul")], rounds),
    });
  }
}

if ("decode".includes(only)) {
  for (const [m, n, k] of [
    [1, 3072, 768],
    [1, 768, 3072],
    [4, 3072, 768],
    [1, 50280, 768],
  ] as const) {
    const racers: Contender[] = [];
    let kernels = "";
    const frees: (() => void)[] = [];
    for (const storage of ["f32", "f16", "int8", "int4"] as const) {
      const there = await resident(runtime, m, n, k, storage);
      racers.push(there.contender);
      frees.push(there.free);
      kernels ||= there.kernels;
    }
    const x = uniform([m, k], -1, 1, 1);
    const theirs = await onnxGpuOp(
      {
        nodes: [{ op: "MatMul", inputs: ["x", "w"], outputs: ["y"] }],
        inputs: { x: x.shape },
        weights: { w: { shape: [k, n], data: uniform([k, n], -1, 1, 2).data } },
        outputs: { y: [m, n] },
      },
      { x },
    );
    racers.push(theirs.contender());
    report.add({
      title: `${m} rows, ${k} → ${n} (rates as if all weights were f32): ${kernels}`,
      work: (4 * n * k) / 1e9,
      unit: "GB",
      timings: await race(racers, rounds),
    });
    for (const free of frees) free();
  }
}

report.finish();
await runtime.close();
process.exit(0);
