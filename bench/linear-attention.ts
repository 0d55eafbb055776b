// Is linear attention as fast as it can be? `npx tsx bench/linear-attention.ts [--simd] [--json file]`
// Prefill and decoding against onnxruntime's LinearAttention, and the training shape forward and backward; each also on one
// thread. Work is counted as the multiply-adds of the recurrence, two floating point operations each.
import { Tensor } from "onnxruntime-node";
import { hasBeta, hasDecay, linearAttentionOp, type UpdateRule } from "../src/ops/linear-attention/op.ts";
import { lower } from "../src/ops/linear-attention/wasm.ts";
import { linearAttentionGradientOp } from "../src/ops/linear-attention-gradient/op.ts";
import { lower as lowerGradient } from "../src/ops/linear-attention-gradient/wasm.ts";
import { type Contender, Report, race } from "./harness.ts";
import { KernelBench } from "./kernels.ts";
import { type BenchTensor, benchTensor, lowered } from "./lowered.ts";
import { onnxSession } from "./peers.ts";

const build = process.argv.includes("--simd") ? "simd" : "relaxed";
const threads = 2;
const bench = await KernelBench.start(build, threads, 1024);
const report = new Report(`linear attention (${build} build)`);

interface Case {
  readonly title: string;
  readonly rule: UpdateRule;
  readonly batch: number;
  readonly time: number;
  /** Heads of q and k, and of v. */
  readonly groups: number;
  readonly heads: number;
  readonly keyDim: number;
  readonly valueDim: number;
  readonly perKey?: boolean;
}

/** q, k, v, decay, beta, s0, with keys of norm about 1 and decays as at the start of training. */
function inputsOf({ rule, batch, time, groups, heads, keyDim, valueDim, perKey }: Case): (BenchTensor | undefined)[] {
  const filled = (shape: readonly number[], draw: () => number) => {
    const tensor = benchTensor(bench, shape, false);
    for (let i = 0; i < tensor.data.length; i++) tensor.data[i] = draw();
    return tensor;
  };
  const unit = () => (Math.random() - 0.5) * Math.sqrt(12 / keyDim);
  const gates = [batch, time, heads];
  return [
    filled([batch, time, groups, keyDim], unit),
    filled([batch, time, groups, keyDim], unit),
    filled([batch, time, heads, valueDim], unit),
    hasDecay(rule) ? filled(perKey ? [...gates, keyDim] : gates, () => -0.3 * Math.random()) : undefined,
    hasBeta(rule) ? filled(gates, Math.random) : undefined,
    filled([batch, heads, keyDim, valueDim], unit),
  ];
}

async function onnxruntime(c: Case, inputs: readonly (BenchTensor | undefined)[], count: number): Promise<Contender> {
  const { rule, batch, time, groups, heads, keyDim, valueDim } = c;
  const names = ["query", "key", "value", "decay", "beta", "state"];
  // The node's inputs: query, key, value, past_state, decay, beta.
  const order = [0, 1, 2, 5, 3, 4];
  const flat = (i: number): readonly number[] => {
    const shape = inputs[i]?.shape ?? [];
    return i === 5 || shape.length < 4 ? shape : [batch, time, shape.slice(2).reduce((x, y) => x * y, 1)];
  };
  const present = order.filter((i) => inputs[i] !== undefined);
  const session = await onnxSession(
    {
      nodes: [
        {
          op: "LinearAttention",
          domain: "com.microsoft",
          inputs: order.map((i) => (inputs[i] === undefined ? "" : (names[i] ?? ""))),
          outputs: ["y", "present"],
          attributes: { update_rule: rule, q_num_heads: groups, kv_num_heads: heads, scale: keyDim ** -0.5 },
        },
      ],
      inputs: Object.fromEntries(present.map((i) => [names[i], flat(i)])),
      outputs: { y: [batch, time, heads * valueDim], present: [batch, heads, keyDim, valueDim] },
    },
    count,
  );
  const feeds = Object.fromEntries(
    present.map((i) => [names[i] ?? "", new Tensor("float32", Float32Array.from(inputs[i]?.data ?? []), flat(i))]),
  );
  return { name: `onnxruntime-node${count === 1 ? ", 1 thread" : ""}`, run: () => session.run(feeds) };
}

async function forward(c: Case): Promise<void> {
  const inputs = inputsOf(c);
  const attributes = { rule: c.rule, scale: c.keyDim ** -0.5 };
  const ours = (count: number) => lowered(bench, linearAttentionOp, lower, inputs, attributes, count, [2]).run;
  const fused = 2 + (hasBeta(c.rule) ? 1 : 0);
  report.add({
    title: c.title,
    work: (2 * fused * c.batch * c.time * c.heads * c.keyDim * c.valueDim) / 1e9,
    unit: "GFLOP",
    timings: await race([
      { name: "hybraid", run: ours(threads) },
      { name: "hybraid, 1 thread", run: ours(1) },
      await onnxruntime(c, inputs, threads),
      await onnxruntime(c, inputs, 1),
    ]),
  });
}

async function backward(c: Case): Promise<void> {
  const inputs = inputsOf(c);
  const attributes = { rule: c.rule, scale: c.keyDim ** -0.5 };
  const run = (count: number) => {
    const ahead = lowered(bench, linearAttentionOp, lower, inputs, attributes, count);
    const [y, final, starts] = ahead.outputs;
    const upstream = [y, final].map((tensor) => benchTensor(bench, tensor?.shape ?? []));
    const back = [...inputs.slice(0, 5), starts, ...upstream];
    const behind = lowered(bench, linearAttentionGradientOp, lowerGradient, back, attributes, count);
    return { ahead: ahead.run, behind: behind.run };
  };
  const [two, one] = [run(threads), run(1)];
  report.add({
    title: c.title,
    work: (2 * (hasBeta(c.rule) ? 10 : 6) * c.batch * c.time * c.heads * c.keyDim * c.valueDim) / 1e9,
    unit: "GFLOP",
    timings: await race([
      {
        name: "hybraid, forward and backward",
        run: () => {
          two.ahead();
          two.behind();
        },
      },
      {
        name: "both, 1 thread",
        run: () => {
          one.ahead();
          one.behind();
        },
      },
      { name: "forward", run: two.ahead },
      { name: "backward", run: two.behind },
    ]),
  });
}

const mamba2 = { rule: "gated", batch: 1, time: 512, groups: 1, heads: 24, keyDim: 128, valueDim: 64 } as const;
const gatedDelta = {
  rule: "gated_delta",
  batch: 1,
  time: 512,
  groups: 16,
  heads: 16,
  keyDim: 128,
  valueDim: 128,
} as const;
await forward({ ...mamba2, title: "Mamba-2: gated, 24 heads 128 × 64, 1 group, T = 512" });
await forward({ ...mamba2, groups: 24, title: "gated, 24 heads 128 × 64, 24 groups, T = 512" });
await forward({ ...mamba2, groups: 24, perKey: true, title: "the same, decay per key" });
await forward({ ...gatedDelta, title: "gated delta, 16 heads 128 × 128, T = 512" });
await forward({ ...mamba2, time: 1, title: "Mamba-2, one token" });
await forward({ ...gatedDelta, time: 1, title: "gated delta, one token" });
const training = { batch: 8, time: 256, groups: 1, heads: 8, keyDim: 64, valueDim: 32 } as const;
await backward({ ...training, rule: "gated", title: "training, gated, B = 8, T = 256, 8 heads 64 × 32, 1 group" });
await backward({ ...training, groups: 8, rule: "gated_delta", title: "training, gated delta, 8 groups" });
await backward({ ...training, groups: 8, rule: "gated", perKey: true, title: "training, gated per key, 8 groups" });
report.finish();
await bench.close();
