// One training step of small models: forward, backward and AdamW with clipping, 8 × 256 tokens, d_model 128, four layers.
// `npx tsx bench/training.ts [W4a W4b W4c W4d] [--rounds 7] [--json file]` compares two threads with one and with the time
// that the multiply-adds of the matrix products alone take in registers. `npx tsx bench/profile.ts FILE --train` says
// where the time goes. (There is no peer: nothing else that runs in JavaScript trains these models.)
import { parseArgs } from "node:util";
import type { BatchSource } from "../src/data/batches.ts";
import { createRuntime } from "../src/runtime/index.ts";
import { loadSpecFile } from "../src/spec/node/files.ts";
import { Trainer } from "../src/train/trainer.ts";
import { Report, race } from "./harness.ts";
import { KernelBench } from "./kernels.ts";
import { productFlops } from "./work.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: "string", default: "7" }, json: { type: "string" } },
});
const workloads = {
  W4a: "train-mamba",
  W4b: "train-mamba2",
  W4c: "train-transformer",
  W4d: "train-hybrid",
} as const;
const chosen = Object.entries(workloads).filter(([key]) => positionals.length === 0 || positionals.includes(key));

const BATCH = 8;
const LENGTH = 256;

/** The same batch over and over: random tokens, each the target of the one before. */
function batches(vocabulary: number): BatchSource {
  const tokens = Int32Array.from({ length: BATCH * LENGTH }, (_, i) => (i * 7919 + 13) % vocabulary);
  const targets = tokens.map((_, i) => tokens[(i + 1) % tokens.length] ?? 0);
  return {
    batch: BATCH,
    length: LENGTH,
    next: () => ({ tokens, targets }),
    position: () => ({ order: "sequential", window: 0 }),
    restore: () => {},
  };
}

const ceiling = await KernelBench.start("relaxed", 2, 2);
const out = ceiling.allocate(64).address;
const report = new Report("training");
for (const [key, file] of chosen) {
  const spec = loadSpecFile(new URL(`../architectures/bench/${file}.yaml`, import.meta.url).pathname);
  const createTrainer = async (threads: number) => {
    const runtime = await createRuntime("wasm", { threads });
    const options = { betas: [0.9, 0.95] as const, eps: 1e-8, weightDecay: 0.1, gradientClip: 1, accumulation: 1 };
    const source = batches(spec.vocab_size);
    return Trainer.create({ ...options, spec, runtime, batches: source, checkpointing: false, seed: 0 });
  };
  const [two, one] = [await createTrainer(2), await createTrainer(1)];
  const weights = await two.model.weights();
  // Once forward, twice backward: for the inputs and for the weights.
  const flops = 3 * BATCH * LENGTH * (productFlops(weights) + 2 * spec.vocab_size * spec.d_model);
  const steps = Math.round(flops / 80 / 2);
  report.add({
    title: `${key}: ${file}, a step on ${BATCH} × ${LENGTH} tokens`,
    work: BATCH * LENGTH,
    unit: "tokens",
    timings: await race(
      [
        { name: "hybraid", run: () => two.trainStep(1e-3) },
        { name: "hybraid, 1 thread", run: () => one.trainStep(1e-3) },
        {
          name: "floor: multiply-adds of the products in registers",
          run: () => ceiling.run("bench_multiply_add", [out, steps]),
        },
      ],
      { rounds: Number(values.rounds), repeats: 1 },
    ),
  });
  for (const trainer of [two, one]) {
    await trainer.close();
    await trainer.runtime.close();
  }
}
report.finish();
process.exit(0);
