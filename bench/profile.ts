// Where the time of a model goes, by op and kernel or by node: every launch is run and timed on its own.
// `npx tsx bench/profile.ts architectures/bench/mamba-130m.yaml [--prefill 512 | --decode | --train] [--threads 2]
// [--nodes] [--rounds 5] [--cpu]`. Weights, states and tokens are made up; a training step is forward, backward and AdamW.
// --cpu measures processor time, which on one thread means something even while others use the machine.
import { parseArgs } from "node:util";
import { buildForward } from "../src/blocks/model.ts";
import { parameterAttributes } from "../src/graph/graph.ts";
import type { Bindings } from "../src/graph/shape.ts";
import { bindShape } from "../src/graph/shape.ts";
import type { Graph } from "../src/graph/types.ts";
import { packableParameters } from "../src/model/create.ts";
import { foldWeights } from "../src/model/fold.ts";
import { initialiseParameters } from "../src/model/initialise.ts";
import { optimise } from "../src/ops/passes/optimise.ts";
import { createRuntime } from "../src/runtime/index.ts";
import type { Buffer, HostArray, LaunchTime, Runtime } from "../src/runtime/types.ts";
import { loadSpecFile } from "../src/spec/node/files.ts";
import { buildGradients, buildUpdate } from "../src/train/step.ts";
import { formatTable, median } from "./harness.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    prefill: { type: "string" },
    decode: { type: "boolean", default: false },
    train: { type: "boolean", default: false },
    cpu: { type: "boolean", default: false },
    nodes: { type: "boolean", default: false },
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "5" },
    top: { type: "string", default: "40" },
  },
});
const [file = "architectures/bench/mamba-130m.yaml"] = positionals;
const spec = loadSpecFile(file);
const runtime = await createRuntime("wasm", { threads: Number(values.threads) });

interface Job {
  readonly title: string;
  readonly graph: Graph;
  readonly bindings: Bindings;
}

function jobs(): readonly Job[] {
  if (values.train) {
    const bindings = { B: 8, T: 256, C: 256 };
    const options = { checkpointing: false, accumulate: false, microBatches: 1 };
    const update = { betas: [0.9, 0.95] as const, eps: 1e-8, weightDecay: 0.1 };
    return [
      { title: "forward and backward, 8 × 256 tokens", graph: buildGradients(spec, options), bindings },
      { title: "AdamW", graph: buildUpdate(spec, update), bindings },
    ];
  }
  const graph = optimise(buildForward(spec, { stateful: true, lastOnly: true }));
  const length = values.decode ? 1 : Number(values.prefill ?? 512);
  return [
    { title: values.decode ? "decode one token" : `prefill ${length}`, graph, bindings: { B: 1, T: length, C: 1024 } },
  ];
}

/** A buffer for every parameter and state: initial weights, states of zeros. */
function makeBuffers(graph: Graph, bindings: Bindings, known: Map<string, Buffer>, { buffer }: Runtime): void {
  const packable = values.train ? new Set<string>() : packableParameters(graph);
  const initial = initialiseParameters(graph, 0);
  for (const { name, tensor } of graph.parameters) {
    const shape = parameterAttributes(tensor).shape as readonly number[];
    if (!known.has(name))
      known.set(name, buffer({ shape, dtype: "f32" }, initial.get(name), { packed: packable.has(name) }));
  }
  for (const { name, input } of graph.states)
    if (!known.has(name)) known.set(name, buffer({ shape: bindShape(input.shape, bindings), dtype: "f32" }));
}

/** Inputs of the right size: token ids below the vocabulary, hyperparameters of a small step. */
function makeInputs(graph: Graph, bindings: Bindings): Record<string, HostArray> {
  const made: Record<string, HostArray> = {};
  for (const { name, tensor } of graph.inputs) {
    const size = bindShape(tensor.shape, bindings).reduce((n, d) => n * d, 1);
    if (tensor.dtype === "f32") made[name] = new Float32Array(size).fill(1e-3);
    else if (name === "position") made[name] = new Int32Array(size);
    else made[name] = Int32Array.from({ length: size }, (_, i) => (i * 7919) % spec.vocab_size);
  }
  return made;
}

function table(rounds: readonly (readonly LaunchTime[])[]): string {
  const groups = new Map<string, { count: number; totals: number[] }>();
  for (const [round, launches] of rounds.entries()) {
    for (const { node, op, kernel, seconds } of launches) {
      const key = values.nodes ? `${node}  ${kernel}` : op === kernel ? op : `${op}  ${kernel}`;
      const group = groups.get(key) ?? { count: 0, totals: rounds.map(() => 0) };
      if (round === 0) group.count++;
      group.totals[round] = (group.totals[round] ?? 0) + seconds;
      groups.set(key, group);
    }
  }
  const all = median(rounds.map((launches) => launches.reduce((sum, launch) => sum + launch.seconds, 0)));
  const rows = [...groups]
    .map(([key, { count, totals }]) => ({ key, count, seconds: median(totals) }))
    .sort((x, y) => y.seconds - x.seconds)
    .slice(0, Number(values.top))
    .map(({ key, count, seconds }) => [
      key,
      String(count),
      `${(1e3 * seconds).toFixed(3)} ms`,
      `${((100 * seconds) / all).toFixed(1)} %`,
    ]);
  return formatTable([["", "launches", "time", "share"], ...rows, ["all", "", `${(1e3 * all).toFixed(3)} ms`, ""]]);
}

/** Milliseconds that this process has computed. */
function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

const now = values.cpu ? processorTime : () => performance.now();
const buffers = new Map<string, Buffer>();
for (const { title, graph, bindings } of jobs()) {
  makeBuffers(graph, bindings, buffers, runtime);
  const folded = values.train ? graph : await foldWeights(graph, runtime, buffers, buffers);
  const program = await runtime.compile(folded, { bindings, buffers });
  const inputs = makeInputs(graph, bindings);
  await program.run(inputs);
  await program.run(inputs);
  const [rounds, whole]: [(readonly LaunchTime[])[], number[]] = [[], []];
  for (let round = 0; round < Number(values.rounds); round++) {
    const start = now();
    await program.run(inputs);
    whole.push((now() - start) / 1000);
    rounds.push((await program.profile?.(inputs, now)) ?? []);
  }
  const run = `${(1e3 * median(whole)).toFixed(2)} ms when run at once`;
  console.log(`${spec.name}: ${title} (${runtime.description}; ${run})\n${table(rounds)}\n`);
}
await runtime.close();
process.exit(0);
