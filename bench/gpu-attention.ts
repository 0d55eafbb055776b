// Is attention on the GPU as fast as it can be? `npx tsx bench/gpu-attention.ts [part of a title] [--json file]`
// Prompts, full and in a window, and decoding, in turn with onnxruntime's GroupQueryAttention (WebGPU) on the same device, and
// training forward and backward. Then, without running, the memory that training takes by length: it must grow with T, not T².
import { makeGraph } from "../src/graph/graph.ts";
import { input } from "../src/graph/leaves.ts";
import { attention } from "../src/ops/attention/op.ts";
import { visiblePairs } from "../src/ops/attention/sizes.ts";
import { differentiate } from "../src/ops/gradients.ts";
import { type GpuInput, gpuOp, onnxGpuOp, openGpu, requireEqual, uniform } from "./gpu.ts";
import { formatTable, Report, race } from "./harness.ts";

const filter = process.argv[2]?.startsWith("--") === false ? process.argv[2] : "";
const runtime = await openGpu();
const report = new Report("attention on the GPU");

interface Case {
  readonly title: string;
  readonly tokens: number;
  readonly heads: readonly [query: number, key: number];
  readonly dim: number;
  readonly window?: number;
}

const need = <V>(value: V | undefined): V => {
  if (value === undefined) throw new Error("missing");
  return value;
};

const inputsOf = ({ tokens, heads, dim }: Case): Record<string, GpuInput & { data: Float32Array }> => ({
  q: uniform([1, tokens, heads[0], dim], -1, 1, 1),
  k: uniform([1, tokens, heads[1], dim], -1, 1, 2),
  v: uniform([1, tokens, heads[1], dim], -1, 1, 3),
});

const workOf = ({ tokens, heads, dim, window = 0 }: Case, products: number): number =>
  (2 * products * heads[0] * visiblePairs(tokens, tokens, 0, { causal: true, window }) * dim) / 1e9;

/** onnxruntime's operator on a prompt, or on new tokens behind `past` cached ones. */
function onnxruntime({ tokens, heads, dim, window = 0 }: Case, past: number) {
  const shapes = {
    query: [1, tokens, heads[0] * dim],
    key: [1, tokens, heads[1] * dim],
    value: [1, tokens, heads[1] * dim],
    ...(past > 0 ? { past_key: [1, heads[1], past, dim], past_value: [1, heads[1], past, dim] } : {}),
  };
  const names = ["query", "key", "value", past > 0 ? "past_key" : "", past > 0 ? "past_value" : "", "last", "total"];
  return {
    nodes: [
      {
        op: "GroupQueryAttention",
        domain: "com.microsoft",
        inputs: names,
        outputs: ["y", "present_key", "present_value"],
        attributes: {
          num_heads: heads[0],
          kv_num_heads: heads[1],
          local_window_size: window > 0 ? window : -1,
        },
      },
    ],
    inputs: shapes,
    integers: { last: [1], total: [] },
    outputs: { y: shapes.query },
  };
}

async function prompt(c: Case): Promise<void> {
  if (!c.title.includes(filter)) return;
  const inputs = inputsOf(c);
  const ours = await gpuOp(runtime, inputs, (x) => ({
    y: attention(need(x.q), need(x.k), need(x.v), { window: c.window ?? 0 }).output,
  }));
  const { q, k, v } = inputs;
  const flat = (x: (GpuInput & { data: Float32Array }) | undefined) => ({
    shape: [1, c.tokens, need(x).data.length / c.tokens],
    data: need(x).data,
  });
  const theirs = await onnxGpuOp(onnxruntime(c, 0), {
    query: flat(q),
    key: flat(k),
    value: flat(v),
    last: { shape: [1], data: Int32Array.of(c.tokens - 1) },
    total: { shape: [], data: Int32Array.of(c.tokens) },
  });
  if (!process.env.SKIP) await requireEqual(ours, theirs, [["y", "y"]]);
  const timings = await race([ours.contender("hybraid"), theirs.contender()], { rounds: 7 });
  report.add({ title: c.title, work: workOf(c, 2), unit: "GFLOP", timings });
}

await prompt({ title: "causal, 8 heads over 2, d = 64, T = 1024", tokens: 1024, heads: [8, 2], dim: 64 });
await prompt({ title: "the same in a window of 256", tokens: 1024, heads: [8, 2], dim: 64, window: 256 });
report.finish();
await runtime.close();
