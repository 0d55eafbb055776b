// Real learning: the runs of configs/tasks, as a user would start them, reach what these models are known to reach, and a
// time-invariant model does not.
import { describe, expect, it } from "vitest";
import { createWasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { loadRunFile } from "../../src/train/node/config.ts";
import { openRunData } from "../../src/train/node/data.ts";
import { runTraining } from "../../src/train/run.ts";
import { Trainer } from "../../src/train/trainer.ts";

/** Accuracy on fresh examples at the end of a run of configs/tasks, and the model's parameters. */
async function learn(name: string): Promise<{ accuracy: number; parameters: number }> {
  const { config, directory } = loadRunFile(`configs/tasks/${name}.yaml`);
  const data = await openRunData(config, directory);
  const runtime = await createWasmRuntime({ threads: 2 });
  const { optimizer } = config;
  const trainer = await Trainer.create({
    spec: config.architecture,
    runtime,
    batches: data.training,
    betas: optimizer.betas,
    eps: optimizer.eps,
    weightDecay: optimizer.weight_decay,
    gradientClip: optimizer.grad_clip,
    accumulation: config.accumulation,
    checkpointing: config.block_checkpointing,
    seed: config.seed,
  });
  const nowhere = { record: async () => {}, checkpoint: async () => {} };
  const { evaluation } = await runTraining({ config, trainer, data, sink: nowhere });
  const parameters = trainer.model.parameterCount;
  await trainer.close();
  await runtime.close();
  return { accuracy: evaluation?.accuracy ?? Number.NaN, parameters };
}

const MINUTES = 60_000;

describe("learning", () => {
  it("selective copying: Mamba does, an S4D of equal size does not", { timeout: 30 * MINUTES }, async () => {
    const [mamba, s4d] = [await learn("selective-copying"), await learn("selective-copying-s4d")];
    expect(mamba.accuracy).toBeGreaterThanOrEqual(0.95);
    expect(s4d.accuracy).toBeLessThan(0.9);
    expect(s4d.parameters / mamba.parameters).toBeGreaterThan(0.95);
    expect(s4d.parameters / mamba.parameters).toBeLessThan(1.05);
  });

  it("induction heads: two layers, one of them attention, do", { timeout: 10 * MINUTES }, async () => {
    expect((await learn("induction-heads")).accuracy).toBeGreaterThanOrEqual(0.95);
  });

  it("associative recall: two layers, one of them attention, do", { timeout: 10 * MINUTES }, async () => {
    expect((await learn("mqar")).accuracy).toBeGreaterThanOrEqual(0.95);
  });
});
