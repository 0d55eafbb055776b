// Do transforms pay against direct convolution on a GPU, and what do S4D's other ops and gru cost? `npx tsx bench/gpu-s4d.ts [--json file]`
// The peer is onnxruntime's WebGPU provider: a depthwise Conv with a kernel as long as the sequence is the same sum (it has
// no other operator for it); its GRU has no WebGPU kernel and falls back to the CPU. Inputs [B, D, T] there are already transposed.
import type { Tensor } from "../src/graph/types.ts";
import { diagonalScan } from "../src/ops/diagonal-scan/op.ts";
import { gru } from "../src/ops/gru/op.ts";
import { longConvolution, transformFlops } from "../src/ops/long-convolution/op.ts";
import { longConvolutionGradient } from "../src/ops/long-convolution-gradient/op.ts";
import { s4dKernel } from "../src/ops/s4d-kernel/op.ts";
import { s4dKernelGradient } from "../src/ops/s4d-kernel-gradient/op.ts";
import { required } from "../src/ops/types.ts";
import { compare } from "./compare.ts";
import { type GpuInput, gpuOp, onnxGpuOp, openGpu, uniform } from "./gpu.ts";
import { formatTable, median, Report, race } from "./harness.ts";

const report = new Report("S4D and gru on the GPU");
const runtime = await openGpu();
const ROUNDS = 7;

type Make = (x: (name: string) => Tensor) => Readonly<Record<string, Tensor>>;

const prepare = (inputs: Readonly<Record<string, GpuInput>>, make: Make) =>
  gpuOp(runtime, inputs, (tensors) => make((name) => required(tensors[name], name)));

for (const [tokens, channels] of [
  [256, 64],
  [1024, 64],
  [4096, 16],
] as const) {
  const u = uniform([1, tokens, channels], -1, 1, 1);
  const K = uniform([channels, tokens], -1, 1, 2);
  const ours = await prepare({ u, K }, (x) => ({ y: longConvolution(x("u"), x("K")) }));
  // y[t] = Σ K[s] u[t − s] as a correlation of the padded sequence with the reversed kernel.
  const transposed = new Float32Array(channels * (2 * tokens - 1));
  const reversed = new Float32Array(channels * tokens);
  for (let d = 0; d < channels; d++) {
    for (let t = 0; t < tokens; t++) {
      transposed[d * (2 * tokens - 1) + tokens - 1 + t] = u.data[t * channels + d] ?? 0;
      reversed[d * tokens + t] = K.data[d * tokens + tokens - 1 - t] ?? 0;
    }
  }
  const theirs = await onnxGpuOp(
    {
      nodes: [{ op: "Conv", inputs: ["u", "K"], outputs: ["y"], attributes: { group: channels } }],
      inputs: { u: [1, channels, 2 * tokens - 1], K: [channels, 1, tokens] },
      outputs: { y: [1, channels, tokens] },
    },
    {
      u: { shape: [1, channels, 2 * tokens - 1], data: transposed },
      K: { shape: [channels, 1, tokens], data: reversed },
    },
  );
  const [a, b] = [await ours.program.run(ours.values), await theirs.session.run(theirs.feeds)];
  const direct = (b.y?.data ?? []) as Float32Array;
  const inOurOrder = Float32Array.from(
    u.data,
    (_, i) => direct[(i % channels) * tokens + Math.floor(i / channels)] ?? 0,
  );
  compare("y of both", a.y ?? [], inOurOrder, 1e-4);
  report.add({
    title: `long_convolution [1, ${tokens}, ${channels}]`,
    work: transformFlops([1, tokens, channels], 3) / 1e9,
    unit: "GFLOP",
    timings: await race([ours.contender("ours"), theirs.contender("onnxruntime, WebGPU, Conv")], { rounds: ROUNDS }),
  });
  ours.program.free();
  await theirs.session.release();
}

{
  const [batch, tokens, hidden] = [8, 64, 128];
  const bound = 1 / Math.sqrt(hidden);
  const x = uniform([batch, tokens, 3 * hidden], -1, 1, 1);
  const w = uniform([3 * hidden, hidden], -bound, bound, 2);
  const ours = await prepare({ x, w }, (input) => ({ y: gru(input("x"), input("w")).output }));
  const width = 3 * hidden;
  const theirs = await onnxGpuOp(
    {
      nodes: [
        {
          op: "GRU",
          inputs: ["x", "w", "r"],
          outputs: ["y"],
          attributes: { hidden_size: hidden, linear_before_reset: 1 },
        },
      ],
      inputs: { x: [tokens, batch, width] },
      outputs: { y: [tokens, 1, batch, hidden] },
      weights: {
        w: {
          shape: [1, width, width],
          data: Float32Array.from({ length: width * width }, (_, i) => (i % (width + 1) === 0 ? 1 : 0)),
        },
        r: { shape: [1, width, hidden], data: w.data },
      },
    },
    { x: { ...x, shape: [tokens, batch, width] } },
  );
  report.add({
    title: `gru [${batch}, ${tokens}, ${hidden}] (onnxruntime's multiplies by an identity first)`,
    timings: await race([ours.contender("ours"), theirs.contender("onnxruntime, GRU on the CPU")], { rounds: ROUNDS }),
  });
  ours.program.free();
  await theirs.session.release();
}

// Our own ops by dispatch, against the bytes that must move.
const [channels, modes] = [64, 32];
const parameters = {
  logDt: uniform([channels], Math.log(0.001), Math.log(0.1), 3),
  aLogReal: uniform([channels, modes], -0.8, -0.6, 4),
  aImag: uniform([channels, modes], 0, 100, 5),
  c: uniform([channels, modes, 2], -1, 1, 6),
};
const s4d = (x: (name: string) => Tensor) => ({
  logDt: x("logDt"),
  aLogReal: x("aLogReal"),
  aImag: x("aImag"),
  c: x("c"),
});
const discretization = "zoh" as const;
const cases: readonly (readonly [string, Readonly<Record<string, GpuInput>>, Make])[] = [
  ["s4d_kernel, T 1024", parameters, (x) => ({ K: s4dKernel(s4d(x), { discretization, length: 1024 }) })],
  [
    "s4d_kernel_gradient, T 1024",
    { ...parameters, dK: uniform([channels, 1024], -1, 1, 7) },
    (x) => {
      const { logDt, aLogReal, aImag, c } = s4d(x);
      const all = s4dKernelGradient([logDt, aLogReal, aImag, c], x("dK"), { discretization });
      return Object.fromEntries(all.map((tensor, i) => [String(i), tensor]));
    },
  ],
  ...[1, 1024].map(
    (tokens) =>
      [
        `diagonal_scan, T ${tokens}`,
        { ...parameters, u: uniform([1, tokens, channels], -1, 1, 8), h0: uniform([1, channels, modes, 2], -1, 1, 9) },
        (x: (name: string) => Tensor) => {
          const result = diagonalScan(x("u"), s4d(x), { discretization, initialState: x("h0") });
          return { y: result.output, hT: result.finalState };
        },
      ] as const,
  ),
  [
    "long_convolution_gradient, T 1024",
    {
      u: uniform([1, 1024, channels], -1, 1, 1),
      K: uniform([channels, 1024], -1, 1, 2),
      dy: uniform([1, 1024, channels], -1, 1, 3),
    },
    (x) => longConvolutionGradient(x("u"), x("K"), x("dy")),
  ],
];
const rows: string[][] = [["by dispatch (D 64, M 32)", "median", "kernels"]];
for (const [title, inputs, make] of cases) {
  const { program, values } = await prepare(inputs, make);
  const profile = required(program.profile, "profile");
  const totals: number[] = [];
  for (let turn = 0; turn <= ROUNDS; turn++) {
    const launches = await profile.call(program, values);
    if (turn > 0) totals.push(launches.reduce((sum, { seconds }) => sum + seconds, 0));
  }
  const kernels = program.explain().flatMap((step) => step.kernels);
  rows.push([title, `${(median(totals) * 1e3).toFixed(2)} ms`, kernels.join("; ")]);
  program.free();
}
console.log(formatTable(rows));
report.finish();
await runtime.close();
