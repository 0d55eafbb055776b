// How close do norms, loss, optimiser, reductions and layout changes come to memory bandwidth?
// `npx tsx bench/rows.ts [--threads n] [--json file]`: each op against a copy of its largest input, in one run.
import type { OpDefinition } from "../src/graph/types.ts";
import { adamwOp } from "../src/ops/adamw/op.ts";
import { lower as lowerAdamw } from "../src/ops/adamw/wasm.ts";
import { crossEntropyOp } from "../src/ops/cross-entropy/op.ts";
import { lower as lowerCrossEntropy } from "../src/ops/cross-entropy/wasm.ts";
import { crossEntropyGradientOp } from "../src/ops/cross-entropy-gradient/op.ts";
import { lower as lowerCrossEntropyGradient } from "../src/ops/cross-entropy-gradient/wasm.ts";
import { layerNormOp } from "../src/ops/layer-norm/op.ts";
import { lower as lowerLayerNorm } from "../src/ops/layer-norm/wasm.ts";
import { layerNormGradientOp } from "../src/ops/layer-norm-gradient/op.ts";
import { lower as lowerLayerNormGradient } from "../src/ops/layer-norm-gradient/wasm.ts";
import { reduceOp } from "../src/ops/reduce/op.ts";
import { lower as lowerReduce } from "../src/ops/reduce/wasm.ts";
import { type RmsNormAttributes, rmsNormOp } from "../src/ops/rms-norm/op.ts";
import { lower as lowerRmsNorm } from "../src/ops/rms-norm/wasm.ts";
import { rmsNormGradientOp } from "../src/ops/rms-norm-gradient/op.ts";
import { lower as lowerRmsNormGradient } from "../src/ops/rms-norm-gradient/wasm.ts";
import { transposeOp } from "../src/ops/transpose/op.ts";
import { lower as lowerTranspose } from "../src/ops/transpose/wasm.ts";
import type { WasmLowering } from "../src/runtime/wasm/lowering.ts";
import { Report, race } from "./harness.ts";
import { KernelBench } from "./kernels.ts";
import { type BenchTensor, benchTensor, lowered } from "./lowered.ts";

const build = process.argv.includes("--simd") ? "simd" : "relaxed";
const at = process.argv.indexOf("--threads");
const threads = at < 0 ? 2 : Number(process.argv[at + 1]);
const bench = await KernelBench.start(build, threads, 1500);
const report = new Report(`rows (${build} build, ${threads} threads)`);

const rms: RmsNormAttributes = {
  eps: 1e-5,
  groups: 1,
  mode: "weight",
  normBeforeGate: true,
  gateActivation: "silu",
  scale: 1,
};
const [rows, channels] = [4096, 768];
const [x, y, z] = [1, 2, 3].map(() => benchTensor(bench, [rows, channels])) as [BenchTensor, BenchTensor, BenchTensor];
const [weight, bias] = [1, 2].map(() => benchTensor(bench, [channels]));
const spare = benchTensor(bench, [4096 * 4096], false);

async function measure<A>(
  title: string,
  op: OpDefinition<A>,
  lower: WasmLowering<A>,
  inputs: readonly (BenchTensor | undefined)[],
  attributes: A,
): Promise<void> {
  const ours = lowered(bench, op, lower, inputs, attributes, threads);
  const present = inputs.filter((input) => input !== undefined);
  const bytes = [...present, ...ours.outputs].reduce((total, tensor) => total + tensor.data.byteLength, 0);
  const largest = present.reduce((a, b) => (b.data.length > a.data.length ? b : a));
  const words = [largest.address, spare.address, largest.data.length];
  const timings = await race(
    [
      { name: title.split(" ")[0] ?? title, run: ours.run },
      { name: "copy of the largest input", run: () => bench.run("copy", words, threads) },
    ],
    { rounds: 7, turn: 0.02 },
  );
  report.add({ title, work: bytes / 1e9, unit: "GB", timings });
}

const shape = `[${rows}, ${channels}]`;
await measure(`rms_norm ${shape}`, rmsNormOp, lowerRmsNorm, [x, weight], rms);
await measure(`rms_norm with residual ${shape}`, rmsNormOp, lowerRmsNorm, [x, weight, undefined, y], rms);
await measure(`rms_norm gated before, 8 groups ${shape}`, rmsNormOp, lowerRmsNorm, [x, weight, z], {
  ...rms,
  groups: 8,
  normBeforeGate: false,
});
await measure(`rms_norm_gradient ${shape}`, rmsNormGradientOp, lowerRmsNormGradient, [x, weight, undefined, y], rms);
await measure(`rms_norm_gradient gated ${shape}`, rmsNormGradientOp, lowerRmsNormGradient, [x, weight, z, y], rms);
await measure(`layer_norm ${shape}`, layerNormOp, lowerLayerNorm, [x, weight, bias], { eps: 1e-5 });
await measure(`layer_norm_gradient ${shape}`, layerNormGradientOp, lowerLayerNormGradient, [x, weight, y], {
  eps: 1e-5,
});
await measure(
  `adamw of ${rows * channels}`,
  adamwOp,
  lowerAdamw,
  [x, y, z, benchTensor(bench, [rows, channels]), benchTensor(bench, [4])],
  {
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
    weightDecay: 0.1,
  },
);
for (const [n, classes] of [
  [2048, 256],
  [256, 50257],
] as const) {
  const logits = benchTensor(bench, [n, classes]);
  const ids = { ...benchTensor(bench, [n]), dtype: "i32" as const };
  new Int32Array(ids.data.buffer, ids.data.byteOffset, n).fill(3);
  const [lse, count, dloss] = [benchTensor(bench, [n]), benchTensor(bench, []), benchTensor(bench, [])];
  await measure(`cross_entropy [${n}, ${classes}]`, crossEntropyOp, lowerCrossEntropy, [logits, ids], { ignore: -100 });
  count?.data.fill(n);
  dloss?.data.fill(1);
  lse?.data.fill(8);
  const inputs = [logits, ids, lse, count, dloss];
  await measure(
    `cross_entropy_gradient [${n}, ${classes}]`,
    crossEntropyGradientOp,
    lowerCrossEntropyGradient,
    inputs,
    { ignore: -100 },
  );
}
for (const axes of [[0], [1], [0, 1]]) {
  await measure(`reduce sum ${shape} over ${axes}`, reduceOp, lowerReduce, [x], { fn: "sum", axes, keepDims: false });
}
await measure(`reduce sum_squares ${shape}`, reduceOp, lowerReduce, [x], {
  fn: "sum_squares",
  axes: [0, 1],
  keepDims: false,
});
await measure(`transpose ${shape}`, transposeOp, lowerTranspose, [x], { permutation: [1, 0] });
await measure("transpose heads [8, 512, 12, 64]", transposeOp, lowerTranspose, [{ ...x, shape: [8, 512, 12, 64] }], {
  permutation: [0, 2, 1, 3],
});
report.finish();
await bench.close();
