// Training on the GPU follows training on the CPU: the quickstart's model, data and settings, fifty steps.
import { expect, it } from "vitest";
import { createRuntime, type Device } from "../../src/runtime/index.ts";
import { loadRunFile } from "../../src/train/node/config.ts";
import { openRunData } from "../../src/train/node/data.ts";
import { Trainer } from "../../src/train/trainer.ts";

const STEPS = 50;

/** Losses of the run's first steps, with shorter sequences: the software GPU is slow. */
async function losses(device: Device): Promise<number[]> {
  const { config, directory } = loadRunFile("configs/quickstart.yaml");
  const data = await openRunData({ ...config, batch_size: 2, sequence_length: 48 }, directory);
  const runtime = await createRuntime(device, { threads: 2 });
  const { lr, betas, eps, weight_decay: weightDecay, grad_clip: gradientClip } = config.optimizer;
  const trainer = await Trainer.create({
    spec: config.architecture,
    runtime,
    batches: data.training,
    betas,
    eps,
    weightDecay,
    gradientClip,
    accumulation: 1,
    checkpointing: false,
    seed: config.seed,
  });
  try {
    const found: number[] = [];
    for (let step = 0; step < STEPS; step++) {
      const warmUp = Math.min(1, (step + 1) / config.schedule.warmup_steps);
      found.push((await trainer.trainStep(lr * warmUp)).loss);
    }
    return found;
  } finally {
    await trainer.close();
    await runtime.close();
  }
}

it("fifty steps of the quickstart have the losses that they have on the CPU", async () => {
  const [cpu, gpu] = [await losses("wasm"), await losses("webgpu:software")];
  const worst = Math.max(...cpu.map((loss, i) => Math.abs(loss - (gpu[i] ?? Number.NaN)) / loss));
  expect(cpu.at(-1)).toBeLessThan(0.8 * (cpu[0] ?? 0));
  expect(worst).toBeLessThan(1e-3);
}, 1_200_000);
