// Is the recurrent baseline a fair one? `npx tsx bench/gru.ts [--simd] [--json file]`
// A GRU layer, input projection included, against onnxruntime's GRU operator on as many threads, for a training batch, a
// prompt and a decoding step; ours also forward and backward.
import { Tensor } from "onnxruntime-node";
import { makeGraph } from "../src/graph/graph.ts";
import { input } from "../src/graph/leaves.ts";
import type { Tensor as GraphTensor } from "../src/graph/types.ts";
import { differentiate } from "../src/ops/gradients.ts";
import { gru } from "../src/ops/gru/op.ts";
import { linear } from "../src/ops/matmul/op.ts";
import { createWasmRuntime } from "../src/runtime/wasm/runtime.ts";
import { type Contender, Report, race } from "./harness.ts";
import { onnxSession } from "./peers.ts";

const build = process.argv.includes("--simd") ? "simd" : "relaxed";
const threads = 2;
const runtime = await createWasmRuntime({ build, threads });
const report = new Report(`GRU (${build} build, ${threads} threads)`);

interface Case {
  readonly title: string;
  readonly batch: number;
  readonly time: number;
  readonly width: number;
}

const random = (count: number): Float32Array => Float32Array.from({ length: count }, () => (Math.random() - 0.5) / 4);

async function ours({ batch, time, width }: Case, name: string, backward: boolean): Promise<Contender> {
  const leaves = {
    x: input("x", ["B", "T", width]),
    w: input("w", [3 * width, width]),
    b: input("b", [3 * width]),
    r: input("r", [3 * width, width]),
    rb: input("rb", [3 * width]),
    h0: input("h0", ["B", width]),
  };
  const { output, finalState } = gru(linear(leaves.x, leaves.w, leaves.b), leaves.r, {
    bias: leaves.rb,
    initialState: leaves.h0,
  });
  const outputs: Record<string, GraphTensor | undefined> = { y: output, hT: finalState };
  if (backward) {
    const seed = input("dy", ["B", "T", width]);
    const wrt = Object.entries(leaves);
    const gradients = differentiate(
      [{ tensor: output, gradient: seed }],
      wrt.map(([, leaf]) => leaf),
    );
    for (const [i, [leaf]] of wrt.entries()) outputs[`d${leaf}`] = gradients[i];
  }
  const graph = makeGraph({
    outputs: Object.entries(outputs).flatMap(([key, tensor]) => (tensor === undefined ? [] : [{ name: key, tensor }])),
  });
  const program = await runtime.compile(graph, { bindings: { B: batch, T: time, C: 0 }, buffers: new Map() });
  const sequence = batch * time * width;
  const values = {
    x: random(sequence),
    w: random(3 * width * width),
    b: random(3 * width),
    r: random(3 * width * width),
    rb: random(3 * width),
    h0: random(batch * width),
    dy: random(sequence),
  };
  const wanted = graph.inputs.map((leaf) => leaf.name);
  const fed = Object.fromEntries(Object.entries(values).filter(([key]) => wanted.includes(key)));
  return { name, run: () => program.run(fed, backward ? [] : ["y"]) };
}

async function onnxruntime({ batch, time, width }: Case): Promise<Contender> {
  const weight = { shape: [1, 3 * width, width], data: random(3 * width * width) };
  const session = await onnxSession(
    {
      nodes: [
        {
          op: "GRU",
          inputs: ["x", "w", "r", "b", "", "h0"],
          outputs: ["y", "hT"],
          attributes: { hidden_size: width, linear_before_reset: 1 },
        },
      ],
      inputs: { x: [time, batch, width], h0: [1, batch, width] },
      outputs: { y: [time, 1, batch, width], hT: [1, batch, width] },
      weights: { w: weight, r: weight, b: { shape: [1, 6 * width], data: random(6 * width) } },
    },
    threads,
  );
  const feeds = {
    x: new Tensor(random(time * batch * width), [time, batch, width]),
    h0: new Tensor(random(batch * width), [1, batch, width]),
  };
  return { name: "onnxruntime GRU", run: () => session.run(feeds, ["y"]) };
}

const cases: readonly Case[] = [
  { title: "training batch, 8 × 256 tokens, width 128", batch: 8, time: 256, width: 128 },
  { title: "training batch, 8 × 256 tokens, width 256", batch: 8, time: 256, width: 256 },
  { title: "prompt of 512 tokens, width 256", batch: 1, time: 512, width: 256 },
  { title: "one decoding step, width 512", batch: 1, time: 1, width: 512 },
];
for (const one of cases) {
  const work = (12 * one.batch * one.time * one.width ** 2) / 1e9;
  const contenders = [await ours(one, "ours", false), await onnxruntime(one)];
  report.add({ title: one.title, work, unit: "GFLOP", timings: await race(contenders) });
  if (one.time > 1 && one.batch > 1) {
    const both = await race([await ours(one, "ours, forward and backward", true)], { rounds: 5 });
    report.add({ title: `${one.title}, with gradients`, work: 3 * work, unit: "GFLOP", timings: both });
  }
}
await runtime.close();
report.finish();
