// Is attention on the GPU as fast as it can be? `npx tsx bench/gpu-attention.ts [part of a title] [--json file]`
// Prompts, full and in a window, in turn with onnxruntime's GroupQueryAttention (WebGPU) on the same device, and decoding over a
// long cache. Results are compared with the CPU's before anything is timed; what the peer's differ by is printed, since it is
// not right on every device.
import type { Tensor } from "../src/graph/types.ts";
import { attention } from "../src/ops/attention/op.ts";
import { visiblePairs } from "../src/ops/attention/sizes.ts";
import { required } from "../src/ops/types.ts";
import { createWasmRuntime } from "../src/runtime/wasm/runtime.ts";
import { compare } from "./compare.ts";
import { type GpuInput, gpuOp, onnxGpuOp, openGpu, uniform } from "./gpu.ts";
import { Report, race } from "./harness.ts";
import type { OnnxModel } from "./peers.ts";

const filter = process.argv[2]?.startsWith("--") === false ? process.argv[2] : "";
const runtime = await openGpu();
const cpu = await createWasmRuntime({});
const report = new Report("attention on the GPU");
const ROUNDS = 7;

interface Case {
  readonly title: string;
  readonly queries: number;
  readonly keys: number;
  readonly heads: readonly [query: number, key: number];
  readonly dim: number;
  readonly window?: number;
}
type Inputs = Readonly<Record<"q" | "k" | "v", GpuInput & { data: Float32Array }>>;

const inputsOf = ({ queries, keys, heads, dim }: Case): Inputs => ({
  q: uniform([1, queries, heads[0], dim], -1, 1, 1),
  k: uniform([1, keys, heads[1], dim], -1, 1, 2),
  v: uniform([1, keys, heads[1], dim], -1, 1, 3),
});

/** A multiply-add counts two. */
function work({ queries, keys, heads, dim, window = 0 }: Case, products: number): number {
  const pairs = visiblePairs(queries, keys, 0, { causal: true, window });
  return (2 * products * heads[0] * pairs * dim) / 1e9;
}

const outputOf =
  ({ window = 0 }: Case) =>
  (x: Readonly<Record<string, Tensor>>): Tensor =>
    attention(required(x.q, "q"), required(x.k, "k"), required(x.v, "v"), { window }).output;

/** onnxruntime's operator on a prompt. */
function onnxruntime({ queries, heads, dim, window = 0 }: Case): OnnxModel {
  const shapes = {
    query: [1, queries, heads[0] * dim],
    key: [1, queries, heads[1] * dim],
    value: [1, queries, heads[1] * dim],
  };
  const attributes = { num_heads: heads[0], kv_num_heads: heads[1], local_window_size: window > 0 ? window : -1 };
  return {
    nodes: [
      {
        ...{ op: "GroupQueryAttention", domain: "com.microsoft", attributes },
        inputs: ["query", "key", "value", "", "", "last", "total"],
        outputs: ["y", "present_key", "present_value"],
      },
    ],
    inputs: shapes,
    integers: { last: [1], total: [] },
    outputs: { y: shapes.query },
  };
}

async function forward(c: Case, withPeer: boolean): Promise<void> {
  if (!c.title.includes(filter)) return;
  const inputs = inputsOf(c);
  const build = (x: Readonly<Record<string, Tensor>>) => ({ y: outputOf(c)(x) });
  const ours = await gpuOp(runtime, inputs, build);
  const check = await gpuOp(cpu, inputs, build);
  const expected = required((await check.program.run(check.values)).y, "y");
  compare(
    `${c.title} on the GPU and on the CPU`,
    required((await ours.program.run(ours.values)).y, "y"),
    expected,
    1e-5,
  );
  const contenders = [ours.contender("hybraid")];
  if (withPeer) {
    const flat = ({ data }: { data: Float32Array }) => ({ shape: [1, c.queries, data.length / c.queries], data });
    const peer = await onnxGpuOp(onnxruntime(c), {
      ...{ query: flat(inputs.q), key: flat(inputs.k), value: flat(inputs.v) },
      last: { shape: [1], data: Int32Array.of(c.queries - 1) },
      total: { shape: [], data: Int32Array.of(c.queries) },
    });
    const { y } = await peer.session.run(peer.feeds);
    const theirs = (y?.data ?? []) as Float32Array;
    const worst = Array.from(expected).reduce(
      (most, value, i) => Math.max(most, Math.abs(value - (theirs[i] ?? Number.NaN))),
      0,
    );
    console.log(`${c.title}: the peer differs by ${worst.toExponential(1)} at most`);
    contenders.push(peer.contender());
  }
  const [kernel] = ours.program.explain().flatMap(({ kernels }) => kernels);
  console.log(`  ${kernel}`);
  report.add({ title: c.title, work: work(c, 2), unit: "GFLOP", timings: await race(contenders, { rounds: ROUNDS }) });
}

const prompt = { queries: 1024, keys: 1024, heads: [8, 2], dim: 64 } as const;
await forward({ ...prompt, title: "causal, 8 heads over 2, d = 64, T = 1024" }, true);
await forward({ ...prompt, title: "the same in a window of 256", window: 256 }, true);
await forward({ ...prompt, title: "one query over 8192 keys", queries: 1, keys: 8192 }, false);
report.finish();
await runtime.close();
await cpu.close();
process.exit(0);
