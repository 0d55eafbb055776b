// Is attention as fast as it can be? `npx tsx bench/attention.ts [--simd] [--json file]`
// Prompts, full and in a window, and decoding against onnxruntime's GroupQueryAttention, and the training shape forward
// and backward; each also on one thread. Work counts the two products over the pairs that a query sees (five backward).
import { Tensor } from "onnxruntime-node";
import { type AttentionAttributes, attentionOp } from "../src/ops/attention/op.ts";
import { attentionSizes, visiblePairs } from "../src/ops/attention/sizes.ts";
import { lower } from "../src/ops/attention/wasm.ts";
import { attentionGradientOp } from "../src/ops/attention-gradient/op.ts";
import { lower as lowerGradient } from "../src/ops/attention-gradient/wasm.ts";
import { type Contender, Report, race } from "./harness.ts";
import { KernelBench } from "./kernels.ts";
import { type BenchTensor, benchTensor, lowered } from "./lowered.ts";
import { onnxSession } from "./peers.ts";

const build = process.argv.includes("--simd") ? "simd" : "relaxed";
const threads = 2;
const bench = await KernelBench.start(build, threads, 1024);
const report = new Report(`attention (${build} build)`);

interface Case {
  readonly title: string;
  readonly batch: number;
  readonly tokens: number;
  /** Tokens in the cache. */
  readonly past?: number;
  readonly heads: readonly [query: number, key: number];
  readonly dim: number;
  readonly window: number;
}

const attributesOf = ({ dim, window }: Case): AttentionAttributes => ({
  scale: dim ** -0.5,
  causal: true,
  window,
  softcap: 0,
});

/** q, k, v, past_k, past_v, position. */
function inputsOf({ batch, tokens, past = 0, heads, dim }: Case): (BenchTensor | undefined)[] {
  const fresh = [heads[0], heads[1], heads[1]].map((count) => benchTensor(bench, [batch, tokens, count, dim]));
  if (past === 0) return fresh;
  const cache = [0, 1].map(() => benchTensor(bench, [batch, past + tokens, heads[1], dim]));
  const position: BenchTensor = { ...benchTensor(bench, [batch], false), dtype: "i32" };
  new Int32Array(position.data.buffer, position.address, batch).fill(past);
  return [...fresh, ...cache, position];
}

/** The same on onnxruntime. It puts past and new keys together in a new tensor, which a cache of its own in a graph would not need. */
async function onnxruntime(c: Case, count: number): Promise<Contender> {
  const { batch, tokens, past = 0, heads, dim, window } = c;
  const random = (shape: readonly number[]): Tensor =>
    new Tensor(
      "float32",
      Float32Array.from({ length: shape.reduce((x, y) => x * y, 1) }, () => Math.random() * 4 - 2),
      shape,
    );
  const cache = (length: number) => [batch, heads[1], length, dim];
  const inputs = {
    query: [batch, tokens, heads[0] * dim],
    key: [batch, tokens, heads[1] * dim],
    value: [batch, tokens, heads[1] * dim],
    past_key: cache(past),
    past_value: cache(past),
  };
  const session = await onnxSession(
    {
      nodes: [
        {
          op: "GroupQueryAttention",
          domain: "com.microsoft",
          inputs: [...Object.keys(inputs), "last", "total"],
          outputs: ["y", "present_key", "present_value"],
          attributes: { num_heads: heads[0], kv_num_heads: heads[1], local_window_size: window > 0 ? window : -1 },
        },
      ],
      inputs,
      integers: { last: [batch], total: [] },
      outputs: { y: inputs.query },
    },
    count,
  );
  const floats = Object.entries(inputs).map(([name, shape]) => [name, random(shape)] as const);
  const feeds = {
    ...Object.fromEntries(floats),
    last: new Tensor("int32", new Int32Array(batch).fill(past + tokens - 1), [batch]),
    total: new Tensor("int32", Int32Array.of(past + tokens), []),
  };
  return { name: `onnxruntime-node${count === 1 ? ", 1 thread" : ""}`, run: () => session.run(feeds) };
}

function workOf(c: Case, products: number): number {
  const pairs = visiblePairs(c.tokens, c.tokens, c.past ?? 0, attributesOf(c));
  return (2 * products * c.batch * c.heads[0] * pairs * c.dim) / 1e9;
}

async function forward(c: Case): Promise<void> {
  const inputs = inputsOf(c);
  const attributes = attributesOf(c);
  const ours = (count: number) => lowered(bench, attentionOp, lower, inputs, attributes, count, [1, 2, 3]).run;
  const cacheBytes = (8 * c.batch * c.heads[1] * c.dim * (c.past ?? 0)) / 1e9;
  report.add({
    title: c.title,
    ...(c.past === undefined ? { work: workOf(c, 2), unit: "GFLOP" } : { work: cacheBytes, unit: "GB" }),
    timings: await race([
      { name: "hybraid", run: ours(threads) },
      { name: "hybraid, 1 thread", run: ours(1) },
      await onnxruntime(c, threads),
      await onnxruntime(c, 1),
    ]),
  });
}

async function backward(c: Case): Promise<void> {
  const [q, k, v] = inputsOf(c);
  const attributes = attributesOf(c);
  const run = (count: number) => {
    const ahead = lowered(bench, attentionOp, lower, [q, k, v], attributes, count);
    const [y, lse] = ahead.outputs;
    const { batch, queryTokens, queryHeads, valueDim } = attentionSizes("attention", q, k, v);
    const dy = benchTensor(bench, [batch, queryTokens, queryHeads, valueDim]);
    const behind = lowered(
      bench,
      attentionGradientOp,
      lowerGradient,
      [q, k, v, undefined, y, lse, dy],
      attributes,
      count,
    );
    return { ahead: ahead.run, behind: behind.run };
  };
  const [two, one] = [run(threads), run(1)];
  const section = async (title: string, products: number, pick: "ahead" | "behind") =>
    report.add({
      title: `${c.title}, ${title}`,
      work: workOf(c, products),
      unit: "GFLOP",
      timings: await race([
        { name: "hybraid", run: two[pick] },
        { name: "hybraid, 1 thread", run: one[pick] },
      ]),
    });
  await section("forward", 2, "ahead");
  await section("backward", 5, "behind");
}

const prompt = { batch: 1, tokens: 1024, heads: [8, 2], dim: 64, window: 0 } as const;
await forward({ ...prompt, title: "causal, 8 heads over 2, d = 64, T = 1024" });
await forward({ ...prompt, window: 256, title: "the same in a window of 256" });
await forward({ ...prompt, tokens: 1, past: 4096, title: "one token after 4096" });
await forward({ ...prompt, tokens: 1, past: 32768, title: "one token after 32768" });
await forward({ ...prompt, tokens: 1, past: 4096, heads: [8, 8], title: "one token after 4096, 8 heads over 8" });
await backward({
  batch: 8,
  tokens: 256,
  heads: [4, 4],
  dim: 32,
  window: 0,
  title: "training, B = 8, T = 256, 4 heads, d = 32",
});
await backward({ ...prompt, title: "8 heads over 2, d = 64, T = 1024" });
report.finish();
await bench.close();
