// Is the selective scan as fast as it can be? `npx tsx bench/selective-scan.ts [--simd] [--json file]`
// Prefill (T = 512, D = 1536, N = 16) and decoding against onnxruntime's LinearAttention, which is the same recurrence when
// every channel is a head, and against the plain loop in TypeScript; then the training shape, forward and backward. Work is
// counted in state updates: one for each token, channel and state.
import { Tensor } from "onnxruntime-node";
import { selectiveScanOp } from "../src/ops/selective-scan/op.ts";
import { lower } from "../src/ops/selective-scan/wasm.ts";
import { selectiveScanGradientOp } from "../src/ops/selective-scan-gradient/op.ts";
import { lower as lowerGradient } from "../src/ops/selective-scan-gradient/wasm.ts";
import { type Contender, Report, race } from "./harness.ts";
import { KernelBench } from "./kernels.ts";
import { type BenchTensor, benchTensor, lowered } from "./lowered.ts";
import { type OnnxNode, onnxSession } from "./peers.ts";

const build = process.argv.includes("--simd") ? "simd" : "relaxed";
const threads = 2;
const bench = await KernelBench.start(build, threads, 512);
const report = new Report(`selective scan (${build} build)`);
const attributes = { deltaSoftplus: true };

interface Sizes {
  readonly batch: number;
  readonly tokens: number;
  readonly channels: number;
  readonly states: number;
}

/** How the steps Δ are spread: over channels as at the start of Mamba's training (0.001 … 0.1), or about 1 everywhere. */
type Steps = "initial" | "large";

const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

/** u, delta, A, B, C, D, z, delta_bias, h0. */
function inputsOf({ batch, tokens, channels, states }: Sizes, steps: Steps): BenchTensor[] {
  const filled = (shape: readonly number[], value: (i: number) => number) => {
    const tensor = benchTensor(bench, shape, false);
    for (let i = 0; i < tensor.data.length; i++) tensor.data[i] = value(i);
    return tensor;
  };
  const sequence = [batch, tokens, channels];
  const step = () => (steps === "large" ? 1 : Math.exp(Math.log(0.001) + Math.random() * Math.log(100)));
  return [
    filled(sequence, normal),
    filled(sequence, () => 0.3 * normal()),
    filled([channels, states], (i) => -1 - (i % states)),
    filled([batch, tokens, states], normal),
    filled([batch, tokens, states], normal),
    filled([channels], normal),
    filled(sequence, normal),
    filled([channels], () => Math.log(Math.expm1(step()))),
    filled([batch, channels, states], normal),
  ];
}

const copies = (tensors: readonly BenchTensor[]): Float32Array[] => tensors.map(({ data }) => Float32Array.from(data));

/** The loop that one would write, on one thread. Returns y. */
function plainLoop({ batch, tokens, channels, states }: Sizes, inputs: readonly Float32Array[]) {
  const [u, delta, a, b, c, skip, z, bias, h0] = inputs as [Float32Array, Float32Array, ...Float32Array[]];
  const y = new Float32Array(batch * tokens * channels);
  const h = new Float32Array(batch * channels * states);
  return () => {
    h.set(h0 ?? []);
    for (let i = 0; i < batch; i++) {
      for (let t = 0; t < tokens; t++) {
        const projection = (i * tokens + t) * states;
        for (let d = 0; d < channels; d++) {
          const token = (i * tokens + t) * channels + d;
          const step = Math.log1p(Math.exp((delta[token] ?? 0) + (bias?.[d] ?? 0)));
          const drive = step * (u[token] ?? 0);
          const state = (i * channels + d) * states;
          let sum = (skip?.[d] ?? 0) * (u[token] ?? 0);
          for (let n = 0; n < states; n++) {
            const next =
              Math.exp(step * (a?.[d * states + n] ?? 0)) * (h[state + n] ?? 0) + drive * (b?.[projection + n] ?? 0);
            h[state + n] = next;
            sum += next * (c?.[projection + n] ?? 0);
          }
          const gate = z?.[token] ?? 0;
          y[token] = (sum * gate) / (1 + Math.exp(-gate));
        }
      }
    }
    return y;
  };
}

/** onnxruntime: the whole op as a graph around LinearAttention, or that node alone with Δ·A and Δ·u given. */
async function onnxruntime(sizes: Sizes, inputs: readonly Float32Array[], alone: boolean): Promise<Contender> {
  const { batch, tokens, channels, states } = sizes;
  const [u = [], delta = [], a = [], b, c, skip, z, bias = [], h0] = inputs;
  const [sequence, thin] = [
    [batch, tokens, channels],
    [batch, tokens, channels, 1],
  ];
  const decays = [batch, tokens, channels * states];
  const state = [batch, channels, states, 1];
  const attention: OnnxNode = {
    op: "LinearAttention",
    domain: "com.microsoft",
    inputs: ["c", "b", "value", "h0", "decay"],
    outputs: ["read", "hT"],
    // A whole number would be written as an integer attribute: the next larger f32.
    attributes: { update_rule: "gated", q_num_heads: 1, kv_num_heads: channels, scale: 1 + 2 ** -23 },
  };
  const node = (op: string, from: readonly string[], to: string): OnnxNode => ({ op, inputs: from, outputs: [to] });
  const cast = (from: string, to: string): OnnxNode => ({ ...node("Cast", [from], to), attributes: { to: 7 } });
  const around = [
    cast("decays", "decayShape"),
    cast("sequence", "sequenceShape"),
    node("Add", ["delta", "bias"], "raw"),
    node("Softplus", ["raw"], "step"),
    node("Mul", ["step", "a"], "exponents"),
    node("Reshape", ["exponents", "decayShape"], "decay"),
    node("Mul", ["step", "u"], "driven"),
    node("Reshape", ["driven", "sequenceShape"], "value"),
    attention,
    node("Reshape", ["u", "sequenceShape"], "direct"),
    node("Mul", ["direct", "skip"], "skipped"),
    node("Add", ["read", "skipped"], "sum"),
    node("Sigmoid", ["z"], "sigmoid"),
    node("Mul", ["z", "sigmoid"], "gate"),
    node("Mul", ["sum", "gate"], "y"),
  ];
  const projections = { b: [batch, tokens, states], c: [batch, tokens, states], h0: state };
  const session = await onnxSession(
    alone
      ? {
          nodes: [attention],
          inputs: { ...projections, value: sequence, decay: decays },
          outputs: { read: sequence, hT: state },
        }
      : {
          nodes: around,
          inputs: { ...projections, u: thin, delta: thin, z: sequence },
          outputs: { y: sequence, hT: state },
          weights: {
            a: { shape: [channels, states], data: Float32Array.from(a) },
            bias: { shape: [channels, 1], data: Float32Array.from(bias) },
            skip: { shape: [channels], data: Float32Array.from(skip ?? []) },
            decays: { shape: [3], data: Float32Array.from(decays) },
            sequence: { shape: [3], data: Float32Array.from(sequence) },
          },
        },
    threads,
  );
  const tensor = (data: ArrayLike<number> | undefined, shape: readonly number[]) =>
    new Tensor("float32", Float32Array.from(data ?? []), shape);
  const step = Float32Array.from(delta, (x, i) => Math.log1p(Math.exp(x + (bias[i % channels] ?? 0))));
  const shared = { b: tensor(b, projections.b), c: tensor(c, projections.c), h0: tensor(h0, state) };
  const feeds: Record<string, Tensor> = alone
    ? {
        ...shared,
        value: tensor(
          step.map((x, i) => x * (u[i] ?? 0)),
          sequence,
        ),
        decay: tensor(
          Float32Array.from({ length: step.length * states }, (_, i) => {
            const token = Math.floor(i / states);
            return (step[token] ?? 0) * (a[(token % channels) * states + (i % states)] ?? 0);
          }),
          decays,
        ),
      }
    : { ...shared, u: tensor(u, thin), delta: tensor(delta, thin), z: tensor(z, sequence) };
  return {
    name: `onnxruntime-node, ${alone ? "LinearAttention alone, Δ·A and Δ·u given" : "same inputs and outputs"}`,
    run: async () => (await session.run(feeds))[alone ? "read" : "y"]?.data,
  };
}

/** Throws unless two results agree. */
function agree(name: string, actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  let [error, scale] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    error = Math.max(error, Math.abs((actual[i] ?? Number.NaN) - (expected[i] ?? 0)));
    scale = Math.max(scale, Math.abs(expected[i] ?? 0));
  }
  if (!(error <= 1e-4 * scale)) throw new Error(`${name} differs by ${error} of ${scale}`);
}

async function forward(title: string, sizes: Sizes, steps: Steps): Promise<void> {
  const inputs = inputsOf(sizes, steps);
  const values = copies(inputs);
  const ours = (count: number) => lowered(bench, selectiveScanOp, lower, inputs, attributes, count, [2]);
  const [two, one] = [ours(threads), ours(1)];
  const loop = plainLoop(sizes, values);
  const peer = await onnxruntime(sizes, values, false);
  two.run();
  agree("the plain loop", loop(), two.outputs[0]?.data ?? []);
  agree("onnxruntime", (await peer.run()) as Float32Array, two.outputs[0]?.data ?? []);
  const { batch, tokens, channels, states } = sizes;
  report.add({
    title,
    work: (batch * tokens * channels * states) / 1e9,
    unit: "G updates",
    timings: await race([
      { name: "hybraid", run: two.run },
      { name: "hybraid, 1 thread", run: one.run },
      peer,
      await onnxruntime(sizes, values, true),
      { name: "plain TypeScript loop", run: loop },
    ]),
  });
}

async function training(title: string, sizes: Sizes): Promise<void> {
  const inputs = inputsOf(sizes, "initial");
  const pass = (count: number) => {
    const ahead = lowered(bench, selectiveScanOp, lower, inputs.slice(0, 8), attributes, count);
    const [y, , starts] = ahead.outputs;
    const dy = benchTensor(bench, y?.shape ?? []);
    const back = [...inputs.slice(0, 8), starts, dy, undefined];
    const behind = lowered(bench, selectiveScanGradientOp, lowerGradient, back, attributes, count, [8]);
    const both = () => {
      ahead.run();
      behind.run();
    };
    return { ahead: ahead.run, both };
  };
  const [two, one] = [pass(threads), pass(1)];
  const { batch, tokens, channels, states } = sizes;
  report.add({
    title,
    work: (batch * tokens * channels * states) / 1e9,
    unit: "G updates",
    timings: await race([
      { name: "forward and backward", run: two.both },
      { name: "forward and backward, 1 thread", run: one.both },
      { name: "forward", run: two.ahead },
      { name: "forward, 1 thread", run: one.ahead },
    ]),
  });
}

const layer = { channels: 1536, states: 16 };
await forward("prefill, 512 tokens, Δ as at the start of training", { batch: 1, tokens: 512, ...layer }, "initial");
await forward("prefill, 512 tokens, Δ about 1", { batch: 1, tokens: 512, ...layer }, "large");
await forward("decoding, 1 token", { batch: 1, tokens: 1, ...layer }, "initial");
await training("training, 8 × 256 tokens, 256 channels", { batch: 8, tokens: 256, channels: 256, states: 16 });
report.finish();
await bench.close();
