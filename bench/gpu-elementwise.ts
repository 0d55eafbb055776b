// Do the kernels that only move bytes reach what a copy reaches, and how do they compare with onnxruntime's WebGPU provider?
// `npx tsx bench/gpu-elementwise.ts [--only floor|peer] [--json file]`. First each op's dispatches by timestamps, against the bytes that
// must move (each input read once, each output written once) at the rate of a large copy. Then chains of ops, so that
// transfers between host and device, which count on both sides, weigh little.
import { InferenceSession, Tensor as OnnxTensor } from "onnxruntime-node";
import * as ex from "../src/graph/expression.ts";
import type { Tensor } from "../src/graph/types.ts";
import { adamw } from "../src/ops/adamw/op.ts";
import { concat } from "../src/ops/concat/op.ts";
import { crossEntropy } from "../src/ops/cross-entropy/op.ts";
import { crossEntropyGradient } from "../src/ops/cross-entropy-gradient/op.ts";
import { gather } from "../src/ops/gather/op.ts";
import { gatherGradient } from "../src/ops/gather-gradient/op.ts";
import { layerNorm } from "../src/ops/layer-norm/op.ts";
import { layerNormGradient } from "../src/ops/layer-norm-gradient/op.ts";
import { map } from "../src/ops/map/op.ts";
import { reduce } from "../src/ops/reduce/op.ts";
import { addRmsNorm, rmsNorm } from "../src/ops/rms-norm/op.ts";
import { rmsNormGradient } from "../src/ops/rms-norm-gradient/op.ts";
import { slice } from "../src/ops/slice/op.ts";
import { transpose } from "../src/ops/transpose/op.ts";
import { required } from "../src/ops/types.ts";
import { compare } from "./compare.ts";
import { type GpuInput, gpuOp, openGpu, uniform } from "./gpu.ts";
import { formatTable, median, Report, race } from "./harness.ts";
import { OnnxGraph } from "./onnx-graph.ts";

type Tensors = Readonly<Record<string, Tensor>>;
type Build = (x: (name: string) => Tensor) => Tensors;

const at = process.argv.indexOf("--only");
const only = at < 0 ? "" : (process.argv[at + 1] ?? "");
const report = new Report("norms, reductions and layout on the GPU");
const runtime = await openGpu();
const TURNS = 7;

const build =
  (make: Build) =>
  (inputs: Tensors): Tensors =>
    make((name) => required(inputs[name], name));

const whole = (shape: readonly number[], below: number): GpuInput => ({
  shape,
  data: Int32Array.from(uniform(shape, 0, below, 5).data, Math.floor),
});

/** Seconds of all dispatches of an op: the median over turns. */
async function dispatched(inputs: Readonly<Record<string, GpuInput>>, make: Build, op: string) {
  const { program, values } = await gpuOp(runtime, inputs, build(make));
  const profile = required(program.profile, "profile");
  const totals: number[] = [];
  for (let turn = 0; turn <= TURNS; turn++) {
    const launches = await profile.call(program, values);
    const own = launches.filter((launch) => launch.op === op);
    if (turn > 0) totals.push(own.reduce((sum, { seconds }) => sum + seconds, 0));
  }
  const kernels = program.explain().flatMap((step) => (step.op === op ? step.kernels : []));
  program.free();
  return { seconds: median(totals), kernels };
}

if ("floor".includes(only)) {
  const [rows, channels, classes] = [2048, 768, 32000];
  const [x, dy, residual] = [1, 2, 3].map((seed) => uniform([rows, channels], -1, 1, seed)) as [
    GpuInput,
    GpuInput,
    GpuInput,
  ];
  const weight = uniform([channels], -1, 1, 4);
  const logits = uniform([256, classes], -4, 4, 6);
  const parameters = Object.fromEntries(
    ["parameter", "gradient", "m", "v"].map((name, i) => [name, uniform([1 << 22], 0, 1, i)]),
  );
  const stream = rows * channels * 4;
  const cases: [title: string, op: string, bytes: number, inputs: Readonly<Record<string, GpuInput>>, make: Build][] = [
    [
      "copy of 16 MB",
      "map",
      2 ** 25,
      { x: uniform([1 << 22], -1, 1) },
      (t) => ({ y: map([t("x")], ex.mul(ex.literal(2), ex.input(0))) }),
    ],
    [
      "rms_norm",
      "rms_norm",
      2 * stream,
      { x, weight },
      (t) => ({ y: rmsNorm(t("x"), { weight: t("weight"), eps: 1e-5 }) }),
    ],
    [
      "rms_norm with residual",
      "rms_norm",
      4 * stream,
      { x, residual, weight },
      (t) => ({ ...addRmsNorm(t("x"), t("residual"), { weight: t("weight"), eps: 1e-5 }) }),
    ],
    [
      "rms_norm of heads of 64",
      "rms_norm",
      2 * stream,
      { x: { ...x, shape: [rows * 12, 64] } },
      (t) => ({ y: rmsNorm(t("x"), { eps: 1e-5 }) }),
    ],
    [
      "rms_norm_gradient",
      "rms_norm_gradient",
      3 * stream,
      { x, dy, weight },
      (t) => {
        const attributes = rmsNorm(t("x"), { weight: t("weight"), eps: 1e-5 }).node.attributes;
        const { dx, dweight } = rmsNormGradient(
          t("x"),
          t("dy"),
          { weight: t("weight") },
          attributes as Parameters<typeof rmsNormGradient>[3],
        );
        return { dx, dweight: required(dweight, "dweight") };
      },
    ],
    [
      "layer_norm",
      "layer_norm",
      2 * stream,
      { x, weight },
      (t) => ({ y: layerNorm(t("x"), { weight: t("weight"), eps: 1e-5 }) }),
    ],
    [
      "layer_norm_gradient",
      "layer_norm_gradient",
      3 * stream,
      { x, dy, weight },
      (t) => ({ ...layerNormGradient(t("x"), t("dy"), { weight: t("weight") }, { eps: 1e-5 }) }),
    ],
    ["reduce, rows", "reduce", stream, { x }, (t) => ({ y: reduce(t("x"), "sum", [1]) })],
    ["reduce, columns", "reduce", stream, { x }, (t) => ({ y: reduce(t("x"), "sum", [0]) })],
    ["reduce, all", "reduce", stream, { x }, (t) => ({ y: reduce(t("x"), "sum") })],
    [
      "gather of 2048 rows",
      "gather",
      2 * stream,
      { table: uniform([8192, channels], -1, 1), ids: whole([rows], 8192) },
      (t) => ({ y: gather(t("table"), t("ids")) }),
    ],
    ...[256, 8192].map((vocabulary): (typeof cases)[number] => [
      `gather_gradient, ${vocabulary} rows`,
      "gather_gradient",
      stream + vocabulary * channels * 4,
      { ids: whole([rows], vocabulary), dy },
      (t) => ({ y: gatherGradient(t("ids"), t("dy"), vocabulary) }),
    ]),
    [
      "cross_entropy, 256 × 32000",
      "cross_entropy",
      256 * classes * 4,
      { logits, targets: whole([256], classes) },
      (t) => ({ loss: crossEntropy(t("logits"), t("targets")).loss }),
    ],
    [
      "cross_entropy_gradient",
      "cross_entropy_gradient",
      2 * 256 * classes * 4,
      { logits, targets: whole([256], classes), dloss: uniform([], 1, 2) },
      (t) => {
        const [logitsOf, targets] = [t("logits"), t("targets")];
        const { lse, count } = crossEntropy(logitsOf, targets);
        const forward = { logits: logitsOf, targets, lse, count };
        return { d: crossEntropyGradient(forward, { dloss: t("dloss") }, { ignore: -100 }) };
      },
    ],
    [
      "adamw of 4 M parameters",
      "adamw",
      7 * 2 ** 24,
      { ...parameters, hyper: uniform([4], 0.1, 0.2) },
      (t) => ({
        ...adamw(
          { parameter: t("parameter"), gradient: t("gradient"), m: t("m"), v: t("v"), hyper: t("hyper") },
          { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.1 },
        ),
      }),
    ],
    ["slice", "slice", stream, { x }, (t) => ({ y: slice(t("x"), 1, 384, 384) })],
    ["concat", "concat", 4 * stream, { x, dy }, (t) => ({ y: concat([t("x"), t("dy")], 1) })],
    ["transpose, tiles", "transpose", 2 * stream, { x }, (t) => ({ y: transpose(t("x"), [1, 0]) })],
    [
      "transpose, heads",
      "transpose",
      2 * stream,
      { x: { ...x, shape: [rows, 12, 64] } },
      (t) => ({ y: transpose(t("x"), [1, 0, 2]) }),
    ],
  ];
  const lines: string[][] = [["", "median", "GB/s", "of a copy's", "dispatches"]];
  let copy = 0;
  for (const [title, op, bytes, inputs, make] of cases) {
    const { seconds, kernels } = await dispatched(inputs, make, op);
    const rate = bytes / seconds / 1e9;
    if (copy === 0) copy = rate;
    const share = `${Math.round((100 * rate) / copy)} %`;
    lines.push([title, `${(1e3 * seconds).toFixed(2)} ms`, rate.toFixed(1), share, String(kernels.length)]);
  }
  console.log(`${formatTable(lines)}\n`);
}

/** A chain of ops here and in onnxruntime, x [rows, columns] in and as much out. */
async function chain(
  title: string,
  links: number,
  shape: readonly number[],
  ours: (x: Tensor, weight: Tensor) => Tensor,
  theirs: (graph: OnnxGraph, x: string, weight: string) => string,
): Promise<void> {
  const x = uniform(shape, -1, 1, 1);
  const weight = uniform([shape.at(-1) ?? 1], 0.5, 1.5, 2);
  const mine = await gpuOp(
    runtime,
    { x, weight },
    build((t) => {
      let y = t("x");
      for (let i = 0; i < links; i++) y = ours(y, t("weight"));
      return { y };
    }),
  );
  const graph = new OnnxGraph();
  let value = graph.input("x", "float", shape);
  const w = graph.floats("weight", weight.shape, () => weight.data);
  for (let i = 0; i < links; i++) value = theirs(graph, value, w);
  const result = await mine.program.run(mine.values);
  graph.output("y", value, shape);
  const session = await InferenceSession.create(graph.encode(), {
    executionProviders: ["webgpu"],
    graphOptimizationLevel: "all",
  });
  const feeds = { x: new OnnxTensor("float32", x.data, [...shape]) };
  compare(title, result.y ?? [], ((await session.run(feeds)).y?.data ?? []) as Float32Array, 1e-3);
  const timings = await race([mine.contender("ours"), { name: "onnxruntime, WebGPU", run: () => session.run(feeds) }], {
    rounds: TURNS,
    turn: 0.1,
  });
  report.add({ title, timings });
  await session.release();
  mine.program.free();
}

if ("peer".includes(only)) {
  const eps = { epsilon: { float: 1e-5 } };
  const size = [2048, 768];
  await chain(
    "24 × rms_norm [2048, 768]",
    24,
    size,
    (x, weight) => rmsNorm(x, { weight, eps: 1e-5 }),
    (g, x, w) => g.node("SimplifiedLayerNormalization", [x, w], { attributes: { axis: -1, ...eps } }),
  );
  await chain(
    "24 × layer_norm [2048, 768]",
    24,
    size,
    (x, weight) => layerNorm(x, { weight, eps: 1e-5 }),
    (g, x, w) => g.node("LayerNormalization", [x, w], { attributes: { axis: -1, ...eps } }),
  );
  await chain(
    "24 × transpose [2048, 768], there and back",
    24,
    size,
    (x) => transpose(map([transpose(x, [1, 0])], ex.call("tanh", ex.input(0))), [1, 0]),
    (g, x) => {
      const there = g.node("Tanh", [g.node("Transpose", [x], { attributes: { perm: [1, 0] } })]);
      return g.node("Transpose", [there], { attributes: { perm: [1, 0] } });
    },
  );
  for (const axis of [1, 0]) {
    await chain(
      `24 × x − mean(x) over axis ${axis} of [2048, 768]`,
      24,
      size,
      (x) => map([x, reduce(x, "mean", [axis], { keepDims: true })], ex.sub(ex.input(0), ex.input(1))),
      (g, x) => g.node("Sub", [x, g.node("ReduceMean", [x], { attributes: { axes: [axis], keepdims: 1 } })]),
    );
  }
  await chain(
    "24 × halves exchanged by slices and concat [2048, 768]",
    24,
    size,
    (x) => concat([slice(x, 1, 384, 384), slice(x, 1, 0, 384)], 1),
    (g, x) => {
      const [a = "", b = ""] = g.split(x, [384, 384]);
      return g.node("Concat", [b, a], { attributes: { axis: 1 } });
    },
  );
}
report.finish();
await runtime.close();
