// Selective scan on the GPU: `npx tsx bench/gpu-selective-scan.ts [--only prefill|decode|training|memory] [--json file]`. The peer
// is onnxruntime's WebGPU LinearAttention on the same device, which is the same recurrence where every channel is a head, with
// what it lacks (softplus, A, D, gate) as ONNX nodes around it; both upload inputs and read outputs. Work is counted in state
// updates: one for each token, channel and state.
import type { Tensor } from "../src/graph/types.ts";
import { causalConv } from "../src/ops/causal-conv/op.ts";
import { differentiate } from "../src/ops/gradients.ts";
import { selectiveScan } from "../src/ops/selective-scan/op.ts";
import { type GpuInput, gpuOp, onnxGpuOp, openGpu, requireEqual, uniform } from "./gpu.ts";
import { Report, race } from "./harness.ts";
import type { OnnxNode } from "./peers.ts";

interface Sizes {
  readonly batch: number;
  readonly tokens: number;
  readonly channels: number;
  readonly states: number;
}

const at = process.argv.indexOf("--only");
const only = at < 0 ? "" : (process.argv[at + 1] ?? "");
const report = new Report("selective scan on the GPU");
const runtime = await openGpu();

const present = (tensor: Tensor | undefined): Tensor => {
  if (tensor === undefined) throw new Error("an input is missing");
  return tensor;
};

function inputsOf({ batch, tokens, channels, states }: Sizes): Record<string, GpuInput> {
  const sequence = [batch, tokens, channels];
  const rates = {
    shape: [channels, states],
    data: Float32Array.from({ length: channels * states }, (_, i) => -1 - (i % states)),
  };
  return {
    u: uniform(sequence, -1, 1, 1),
    delta: uniform(sequence, -1, 1, 2),
    A: rates,
    B: uniform([batch, tokens, states], -1, 1, 3),
    C: uniform([batch, tokens, states], -1, 1, 4),
    D: uniform([channels], -1, 1, 5),
    z: uniform(sequence, -2, 2, 6),
    bias: uniform([channels], -7, -2, 7),
    h0: uniform([batch, channels, states], -1, 1, 8),
  };
}

function scan(x: Readonly<Record<string, Tensor>>) {
  const [u, delta, A, B, C] = [x.u, x.delta, x.A, x.B, x.C].map(present) as [Tensor, Tensor, Tensor, Tensor, Tensor];
  const options = { D: x.D, z: x.z, deltaBias: x.bias, initialState: x.h0 };
  const { output, finalState } = selectiveScan(u, delta, A, B, C, options);
  return { y: output, hT: finalState };
}

/** onnxruntime: the whole op as nodes around LinearAttention, in its Mamba-1 form. */
function onnx(sizes: Sizes, inputs: Readonly<Record<string, GpuInput>>) {
  const { batch, tokens, channels, states } = sizes;
  const [sequence, thin] = [
    [batch, tokens, channels],
    [batch, tokens, channels, 1],
  ];
  const given = (name: string, shape: readonly number[]): GpuInput => ({
    shape,
    data: (inputs[name] as GpuInput).data,
  });
  const node = (op: string, from: readonly string[], to: string): OnnxNode => ({ op, inputs: from, outputs: [to] });
  const cast = (from: string, to: string): OnnxNode => ({ ...node("Cast", [from], to), attributes: { to: 7 } });
  const feeds = {
    ...{ u: given("u", thin), delta: given("delta", thin), z: given("z", sequence) },
    ...{ B: given("B", [batch, tokens, states]), C: given("C", [batch, tokens, states]) },
    h0: given("h0", [batch, channels, states, 1]),
  };
  const weight = (name: string, shape: readonly number[]) => ({ shape, data: given(name, shape).data as Float32Array });
  const model = {
    nodes: [
      ...[cast("decays", "decayShape"), cast("sequence", "sequenceShape")],
      ...[node("Add", ["delta", "bias"], "raw"), node("Softplus", ["raw"], "step")],
      ...[node("Mul", ["step", "A"], "exponents"), node("Reshape", ["exponents", "decayShape"], "decay")],
      ...[node("Mul", ["step", "u"], "driven"), node("Reshape", ["driven", "sequenceShape"], "value")],
      {
        op: "LinearAttention",
        domain: "com.microsoft",
        inputs: ["C", "B", "value", "h0", "decay"],
        outputs: ["read", "hT"],
        // A whole number would be written as an integer attribute: the next larger f32.
        attributes: { update_rule: "gated", q_num_heads: 1, kv_num_heads: channels, scale: 1 + 2 ** -23 },
      },
      ...[node("Reshape", ["u", "sequenceShape"], "direct"), node("Mul", ["direct", "D"], "skipped")],
      ...[node("Add", ["read", "skipped"], "sum"), node("Sigmoid", ["z"], "sigmoid")],
      ...[node("Mul", ["z", "sigmoid"], "gate"), node("Mul", ["sum", "gate"], "y")],
    ],
    inputs: Object.fromEntries(Object.entries(feeds).map(([name, { shape }]) => [name, shape])),
    outputs: { y: sequence, hT: [batch, channels, states, 1] },
    weights: {
      ...{ A: weight("A", [channels, states]), bias: weight("bias", [channels, 1]), D: weight("D", [channels]) },
      decays: { shape: [3], data: Float32Array.of(batch, tokens, channels * states) },
      sequence: { shape: [3], data: Float32Array.from(sequence) },
    },
  };
  return onnxGpuOp(model, feeds);
}

const updates = ({ batch, tokens, channels, states }: Sizes): number => (batch * tokens * channels * states) / 1e9;
const name = ({ batch, tokens, channels, states }: Sizes): string => `B=${batch} T=${tokens} D=${channels} N=${states}`;

async function forward(title: string, sizes: Sizes): Promise<void> {
  const inputs = inputsOf(sizes);
  const ours = await gpuOp(runtime, inputs, scan);
  const theirs = await onnx(sizes, inputs);
  await requireEqual(ours, theirs, [
    ["y", "y"],
    ["hT", "hT"],
  ]);
  report.add({
    title: `${title}, ${name(sizes)}: ${ours.program.explain().at(-1)?.kernels.join(", ")}`,
    work: updates(sizes),
    unit: "G updates",
    timings: await race([ours.contender("hybraid"), theirs.contender()], { rounds: 7, turn: 0.05 }),
  });
  ours.program.free();
}

/** Outputs and the gradients of all inputs, from given gradients of y and hT. */
async function training(title: string, sizes: Sizes): Promise<void> {
  const { batch, tokens, channels, states } = sizes;
  const inputs = inputsOf(sizes);
  const upstream = {
    dy: uniform([batch, tokens, channels], -1, 1, 9),
    dhT: uniform([batch, channels, states], -1, 1, 10),
  };
  const forwards = await gpuOp(runtime, inputs, scan);
  const both = await gpuOp(runtime, { ...inputs, ...upstream }, (x) => {
    const { y, hT } = scan(x);
    const seeds = [
      { tensor: y, gradient: present(x.dy) },
      { tensor: hT, gradient: present(x.dhT) },
    ];
    const wrt = Object.keys(inputs);
    const gradients = differentiate(
      seeds,
      wrt.map((key) => present(x[key])),
    );
    return Object.fromEntries(wrt.map((key, i) => [`d${key}`, present(gradients[i])]));
  });
  report.add({
    title: `${title}, ${name(sizes)}: ${both.program
      .explain()
      .flatMap(({ kernels }) => kernels)
      .join(", ")}`,
    work: updates(sizes),
    unit: "G updates",
    timings: await race([both.contender("forward and backward"), forwards.contender("forward alone")], {
      rounds: 7,
      turn: 0.05,
    }),
  });
  console.log(`  values and scratch: ${(both.program.arenaBytes / 1e6).toFixed(1)} MB\n`);
}

/** The short convolution with its window, and the gradients. */
async function convolution(sizes: Sizes): Promise<void> {
  const { batch, tokens, channels } = sizes;
  const inputs = {
    x: uniform([batch, tokens, channels], -1, 1, 1),
    w: uniform([channels, 4], -1, 1, 2),
    bias: uniform([channels], -1, 1, 3),
    past: uniform([batch, 3, channels], -1, 1, 4),
  };
  const conv = (x: Readonly<Record<string, Tensor>>) => {
    const { output, present: window } = causalConv(present(x.x), present(x.w), {
      ...{ bias: x.bias, past: x.past },
      activation: "silu",
    });
    return { y: output, window };
  };
  const forwards = await gpuOp(runtime, inputs, conv);
  const both = await gpuOp(runtime, { ...inputs, dy: uniform([batch, tokens, channels], -1, 1, 5) }, (x) => {
    const { y } = conv(x);
    const wrt = ["x", "w", "bias", "past"] as const;
    const gradients = differentiate(
      [{ tensor: y, gradient: present(x.dy) }],
      wrt.map((key) => present(x[key])),
    );
    return Object.fromEntries(wrt.map((key, i) => [`d${key}`, present(gradients[i])]));
  });
  report.add({
    title: `causal_conv of 4 taps with silu, ${name(sizes)}: ${both.program
      .explain()
      .flatMap(({ kernels }) => kernels)
      .join(", ")}`,
    timings: await race([forwards.contender("forward"), both.contender("backward")], { rounds: 7, turn: 0.05 }),
  });
}

const large = { batch: 1, tokens: 512, channels: 1536, states: 16 };
if ("prefill".includes(only)) await forward("prefill", large);
if ("decode".includes(only)) await forward("one token", { ...large, tokens: 1 });
if ("training".includes(only)) await training("training", large);
if ("memory".includes(only)) {
  for (const tokens of [512, 1024, 2048]) await training("memory", { ...large, channels: 256, tokens });
}
if ("convolution".includes(only)) await convolution(large);

report.finish();
await runtime.close();
process.exit(0);
