// Where does S4D's convolution form pay? `npx tsx bench/s4d.ts [--simd] [--json file]`
// The convolution by Fourier transforms with making its kernel, against the recurrence that computes the same; and a
// decoding step. Work is that of the convolution form: 5 n log2 n per transform of n points.
import { makeGraph } from "../src/graph/graph.ts";
import { input } from "../src/graph/leaves.ts";
import type { Tensor } from "../src/graph/types.ts";
import { diagonalScan } from "../src/ops/diagonal-scan/op.ts";
import { differentiate } from "../src/ops/gradients.ts";
import { longConvolution, transformFlops } from "../src/ops/long-convolution/op.ts";
import { s4dKernel } from "../src/ops/s4d-kernel/op.ts";
import { createWasmRuntime } from "../src/runtime/wasm/runtime.ts";
import { type Contender, Report, race } from "./harness.ts";

const build = process.argv.includes("--simd") ? "simd" : "relaxed";
const threads = 2;
const runtime = await createWasmRuntime({ build, threads });
const report = new Report(`S4D (${build} build, ${threads} threads)`);
const discretization = "zoh";
const modes = 32;

type Leaves = ReturnType<typeof leavesOf>;

function leavesOf(channels: number) {
  return {
    u: input("u", ["B", "T", channels]),
    dy: input("dy", ["B", "T", channels]),
    logDt: input("logDt", [channels]),
    aLogReal: input("aLogReal", [channels, modes]),
    aImag: input("aImag", [channels, modes]),
    c: input("c", [channels, modes, 2]),
    h0: input("h0", ["B", channels, modes, 2]),
  };
}

async function contender(
  name: string,
  [batch, time, channels]: readonly [number, number, number],
  make: (leaves: Leaves) => readonly (Tensor | undefined)[],
): Promise<Contender> {
  const outputs = make(leavesOf(channels)).flatMap((tensor, i) =>
    tensor === undefined ? [] : [{ name: String(i), tensor }],
  );
  const graph = makeGraph({ outputs });
  const program = await runtime.compile(graph, { bindings: { B: batch, T: time, C: 0 }, buffers: new Map() });
  const fill = (count: number, draw: (i: number) => number) => Float32Array.from({ length: count }, (_, i) => draw(i));
  const centred = () => Math.random() - 0.5;
  const values: Record<string, Float32Array> = {
    u: fill(batch * time * channels, centred),
    dy: fill(batch * time * channels, centred),
    logDt: fill(channels, () => Math.log(0.001) + Math.random() * Math.log(100)),
    aLogReal: fill(channels * modes, () => Math.log(0.5)),
    aImag: fill(channels * modes, (i) => Math.PI * (i % modes)),
    c: fill(2 * channels * modes, centred),
    h0: fill(2 * batch * channels * modes, centred),
  };
  const names = new Set(graph.inputs.map((leaf) => leaf.name));
  const fed = Object.fromEntries(Object.entries(values).filter(([key]) => names.has(key)));
  return { name, run: () => program.run(fed, []) };
}

const convolve = (leaves: Leaves): Tensor => longConvolution(leaves.u, s4dKernel(leaves, { discretization }));

for (const shape of [
  [8, 256, 128],
  [4, 1024, 256],
  [1, 4096, 256],
] as const) {
  const [batch, time, channels] = shape;
  const work = transformFlops(shape, 2) / 1e9;
  const timings = await race([
    await contender("convolution", shape, (leaves) => [convolve(leaves)]),
    await contender("recurrence", shape, (leaves) => [diagonalScan(leaves.u, leaves, { discretization }).output]),
    await contender("convolution with gradients", shape, (leaves) => {
      const { u, logDt, aLogReal, aImag, c } = leaves;
      return differentiate([{ tensor: convolve(leaves), gradient: leaves.dy }], [u, logDt, aLogReal, aImag, c]);
    }),
  ]);
  report.add({
    title: `${batch} × ${time} tokens, ${channels} channels of ${modes} modes`,
    work,
    unit: "GFLOP",
    timings,
  });
}
const step = await contender("recurrence", [1, 1, 512], (leaves) => {
  const { output, finalState } = diagonalScan(leaves.u, leaves, { discretization, initialState: leaves.h0 });
  return [output, finalState];
});
report.add({ title: `a decoding step of 512 channels of ${modes} modes`, timings: await race([step]) });
await runtime.close();
report.finish();
