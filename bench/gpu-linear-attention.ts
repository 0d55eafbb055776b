// Linear attention on the GPU, forward and backward: `npx tsx bench/gpu-linear-attention.ts [part of a title]`. The peer is
// onnxruntime's WebGPU LinearAttention on the same device; both upload inputs and read outputs.
import type { Tensor } from "../src/graph/types.ts";
import { differentiate } from "../src/ops/gradients.ts";
import { hasBeta, hasDecay, linearAttention, type UpdateRule } from "../src/ops/linear-attention/op.ts";
import { type GpuInput, gpuOp, onnxGpuOp, openGpu, requireEqual, uniform } from "./gpu.ts";
import { type Contender, Report, race } from "./harness.ts";

interface Case {
  readonly title: string;
  readonly rule: UpdateRule;
  readonly time: number;
  readonly groups: number;
  readonly heads: number;
  readonly keyDim: number;
  readonly valueDim: number;
  readonly backward?: boolean;
}

const cases: readonly Case[] = [
  {
    title: "gated, 24 heads 128 × 64, T = 1024",
    rule: "gated",
    time: 1024,
    groups: 24,
    heads: 24,
    keyDim: 128,
    valueDim: 64,
  },
  { title: "Mamba-2: the same, 1 group", rule: "gated", time: 1024, groups: 1, heads: 24, keyDim: 128, valueDim: 64 },
  {
    title: "gated delta, 16 heads 128 × 128, T = 512",
    rule: "gated_delta",
    time: 512,
    groups: 16,
    heads: 16,
    keyDim: 128,
    valueDim: 128,
  },
  { title: "gated, one token", rule: "gated", time: 1, groups: 24, heads: 24, keyDim: 128, valueDim: 64 },
  { title: "gated delta, one token", rule: "gated_delta", time: 1, groups: 16, heads: 16, keyDim: 128, valueDim: 128 },
  {
    title: "training, gated",
    rule: "gated",
    time: 1024,
    groups: 1,
    heads: 24,
    keyDim: 128,
    valueDim: 64,
    backward: true,
  },
  {
    title: "training, gated delta",
    rule: "gated_delta",
    time: 512,
    groups: 16,
    heads: 16,
    keyDim: 128,
    valueDim: 128,
    backward: true,
  },
];

function inputsOf({ rule, time, groups, heads, keyDim, valueDim }: Case): Record<string, GpuInput> {
  const unit = Math.sqrt(3 / keyDim);
  return {
    q: uniform([1, time, groups, keyDim], -unit, unit, 1),
    k: uniform([1, time, groups, keyDim], -unit, unit, 2),
    v: uniform([1, time, heads, valueDim], -1, 1, 3),
    s0: uniform([1, heads, keyDim, valueDim], -unit, unit, 4),
    ...(hasDecay(rule) ? { decay: uniform([1, time, heads], -0.3, 0, 5) } : {}),
    ...(hasBeta(rule) ? { beta: uniform([1, time, heads], 0, 1, 6) } : {}),
  };
}

function attend(x: Readonly<Record<string, Tensor>>, rule: UpdateRule) {
  const { q, k, v } = x;
  if (q === undefined || k === undefined || v === undefined) throw new Error("q, k or v is missing");
  const { output, finalState } = linearAttention(rule, q, k, v, { decay: x.decay, beta: x.beta, initialState: x.s0 });
  return { y: output, present: finalState };
}

const runtime = await openGpu();
const report = new Report("linear attention on the GPU");
const wanted = process.argv[2]?.startsWith("--") === false ? process.argv[2] : "";
for (const c of cases) {
  if (!c.title.includes(wanted)) continue;
  const inputs = inputsOf(c);
  const { rule, time, groups, heads, keyDim, valueDim } = c;
  const contenders: Contender[] = [];
  if (c.backward) {
    const dy = uniform([1, time, heads, valueDim], -1, 1, 7);
    const op = await gpuOp(runtime, { ...inputs, dy }, ({ dy: gradient, ...x }) => {
      const { y } = attend(x, rule);
      const wrt = Object.entries(x);
      const seeds = gradient === undefined ? [] : [{ tensor: y, gradient }];
      const gradients = differentiate(
        seeds,
        wrt.map(([, tensor]) => tensor),
      );
      return Object.fromEntries(wrt.flatMap(([name], i) => (gradients[i] === undefined ? [] : [[name, gradients[i]]])));
    });
    contenders.push(op.contender("hybraid, forward and backward"));
    if (process.argv.includes("--profile")) console.table(await op.program.profile?.(op.values));
  } else {
    const op = await gpuOp(runtime, inputs, (x) => attend(x, rule));
    const names = { q: "query", k: "key", v: "value", s0: "state", decay: "decay", beta: "beta" };
    const feeds = Object.fromEntries(
      Object.entries(inputs).map(([name, { shape, data }]) => {
        const flat = shape.length < 4 || name === "s0" ? shape : [1, time, shape.slice(2).reduce((n, d) => n * d, 1)];
        return [names[name as keyof typeof names], { shape: flat, data }];
      }),
    );
    const order = ["query", "key", "value", "state", "decay", "beta"];
    const peer = await onnxGpuOp(
      {
        nodes: [
          {
            op: "LinearAttention",
            domain: "com.microsoft",
            inputs: order.map((name) => (feeds[name] === undefined ? "" : name)),
            outputs: ["y", "present"],
            attributes: { update_rule: rule, q_num_heads: groups, kv_num_heads: heads, scale: keyDim ** -0.5 },
          },
        ],
        inputs: Object.fromEntries(Object.entries(feeds).map(([name, { shape }]) => [name, shape])),
        outputs: { y: [1, time, heads * valueDim], present: [1, heads, keyDim, valueDim] },
      },
      feeds,
    );
    await requireEqual(
      op,
      peer,
      [
        ["y", "y"],
        ["present", "present"],
      ],
      1e-4,
    );
    contenders.push(op.contender("hybraid"), peer.contender());
    if (process.argv.includes("--profile")) console.table(await op.program.profile?.(op.values));
  }
  const perElement = (2 + (hasBeta(rule) ? 1 : 0)) * (c.backward ? 3 : 1);
  report.add({
    title: c.title,
    work: (2 * perElement * time * heads * keyDim * valueDim) / 1e9,
    unit: "GFLOP",
    timings: await race(contenders),
  });
}
report.finish();
await runtime.close();
process.exit(0);
