// One training step, and what must not change it: how a batch is divided, what is recomputed, which process runs it.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildLoss } from "../../src/blocks/model.ts";
import type { Batch, BatchSource } from "../../src/data/batches.ts";
import { Random } from "../../src/data/random.ts";
import { parameterAttributes } from "../../src/graph/graph.ts";
import { initialiseParameters } from "../../src/model/initialise.ts";
import type { Buffer, Runtime } from "../../src/runtime/types.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { loadSpec } from "../../src/spec/load.ts";
import type { ArchitectureSpec } from "../../src/spec/types.ts";
import { buildGradients, gradientName } from "../../src/train/step.ts";
import { DivergedError, Trainer, type TrainerOptions } from "../../src/train/trainer.ts";
import { ARCHITECTURE } from "./tiny-run.ts";

const spec = loadSpec(ARCHITECTURE);
const LENGTH = 32;
let runtime: Runtime;
beforeAll(async () => {
  runtime = await createWasmRuntime({ threads: 2 });
});
afterAll(() => runtime.close());

function randomBatch(rows: number, seed: number, length = LENGTH): Batch {
  const random = Random.fromSeed(seed);
  const draw = (): Int32Array => Int32Array.from({ length: rows * length }, () => random.integer(0, 256));
  return { tokens: draw(), targets: draw() };
}

/** Batches of random tokens, the same for the same seed. */
function source(batch: number, length = LENGTH, alter: (batch: Batch, index: number) => void = () => {}): BatchSource {
  let index = 0;
  return {
    batch,
    length,
    next: () => {
      const made = randomBatch(batch, index, length);
      alter(made, index++);
      return made;
    },
    position: () => ({ order: "sequential", window: index }),
    restore: (position) => {
      if (position.order === "sequential") index = position.window;
    },
  };
}

const create = (changes: Partial<TrainerOptions> = {}): Promise<Trainer> =>
  Trainer.create({
    spec,
    runtime,
    batches: source(2),
    betas: [0.9, 0.95],
    eps: 1e-8,
    weightDecay: 0.1,
    gradientClip: 1,
    accumulation: 1,
    checkpointing: false,
    seed: 0,
    ...changes,
  });

/** Gradients of all parameters after these micro-batches, and the bytes that the program works in. */
async function gradientsOf(
  model: ArchitectureSpec,
  batches: readonly Batch[],
  { checkpointing = false, length = LENGTH } = {},
): Promise<{ gradients: Map<string, Float32Array>; arenaBytes: number }> {
  const loss = buildLoss(model);
  const initial = initialiseParameters(loss, 0);
  const buffers = new Map<string, Buffer>();
  for (const { name, tensor } of loss.parameters) {
    const type = { shape: parameterAttributes(tensor).shape as readonly number[], dtype: "f32" as const };
    buffers.set(name, runtime.buffer(type, initial.get(name)));
    buffers.set(gradientName(name), runtime.buffer(type));
  }
  let arenaBytes = 0;
  for (const [i, batch] of batches.entries()) {
    const options = { checkpointing, accumulate: i > 0, microBatches: batches.length };
    const bindings = { B: batch.tokens.length / length, T: length, C: length };
    const program = await runtime.compile(buildGradients(model, options), { bindings, buffers, poison: true });
    await program.run({ tokens: batch.tokens, targets: batch.targets });
    arenaBytes = program.arenaBytes;
    program.free();
  }
  const gradients = new Map<string, Float32Array>();
  for (const { name } of loss.parameters) {
    const buffer = buffers.get(gradientName(name));
    gradients.set(name, (await buffer?.read()) as Float32Array);
  }
  for (const buffer of buffers.values()) buffer.free();
  return { gradients, arenaBytes };
}

/** Largest difference, as a share of the largest value of its tensor. */
function worstDifference(actual: Map<string, Float32Array>, expected: Map<string, Float32Array>): number {
  let worst = 0;
  for (const [name, values] of expected) {
    const scale = values.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-12);
    const found = actual.get(name);
    for (const [i, x] of values.entries()) worst = Math.max(worst, Math.abs((found?.[i] ?? Number.NaN) - x) / scale);
  }
  return worst;
}

const rowsOf = ({ tokens, targets }: Batch, from: number, to: number): Batch => ({
  tokens: tokens.slice(from * LENGTH, to * LENGTH),
  targets: targets.slice(from * LENGTH, to * LENGTH),
});

describe("gradients", () => {
  it("accumulated over four batches are those of one large batch", async () => {
    const whole = randomBatch(8, 1);
    const { gradients } = await gradientsOf(spec, [whole]);
    const parts = [0, 2, 4, 6].map((row) => rowsOf(whole, row, row + 2));
    const accumulated = await gradientsOf(spec, parts);
    expect(worstDifference(accumulated.gradients, gradients)).toBeLessThan(1e-5);
    const others = await gradientsOf(spec, parts.slice(0, 3));
    expect(worstDifference(others.gradients, gradients)).toBeGreaterThan(1e-2);
  });

  it("with recomputed blocks are the same, in less memory", async () => {
    const deep = loadSpec(ARCHITECTURE.replace('"M-*-"', '"(M-*-){3}"'));
    const batch = randomBatch(4, 2, 128);
    const kept = await gradientsOf(deep, [batch], { length: 128 });
    const recomputed = await gradientsOf(deep, [batch], { length: 128, checkpointing: true });
    expect(worstDifference(recomputed.gradients, kept.gradients)).toBeLessThan(1e-6);
    expect(recomputed.arenaBytes).toBeLessThan(0.6 * kept.arenaBytes);
  });
});

describe("a trainer", () => {
  const losses = async (trainer: Trainer, steps: number): Promise<number[]> => {
    const found: number[] = [];
    for (let i = 0; i < steps; i++) found.push((await trainer.trainStep(1e-2)).loss);
    return found;
  };

  it("gives the same bits for the same seed and threads, others for another seed", async () => {
    const runs: number[][] = [];
    for (const seed of [0, 0, 1]) {
      const own = await createWasmRuntime({ threads: 2 });
      const trainer = await create({ runtime: own, seed });
      runs.push(await losses(trainer, 5));
      await trainer.close();
      await own.close();
    }
    expect(runs[1]).toEqual(runs[0]);
    expect(runs[2]).not.toEqual(runs[0]);
  });

  it("goes on from a checkpoint as if it had not stopped", async () => {
    const trainer = await create();
    const expected = await losses(trainer, 3);
    const checkpoint = await trainer.checkpoint({});
    expected.push(...(await losses(trainer, 3)));
    await trainer.close();
    const other = await create({ seed: 7 });
    other.restore(checkpoint);
    expect(other.step).toBe(3);
    expect(await losses(other, 3)).toEqual(expected.slice(3));
    await other.close();
  });

  it("refuses the checkpoint of another architecture", async () => {
    const trainer = await create();
    const checkpoint = await trainer.checkpoint({});
    await trainer.close();
    const other = await create({ spec: loadSpec(ARCHITECTURE.replace("d_state: 4", "d_state: 8")) });
    expect(() => other.restore(checkpoint, "step-1.safetensors")).toThrow(
      /step-1\.safetensors belongs to another architecture: its hash is [0-9a-f]{16}, this one's [0-9a-f]{16}/,
    );
    await other.close();
  });

  it("clips gradients that are too long", async () => {
    const [free, clipped] = [await create({ gradientClip: 0 }), await create({ gradientClip: 1e-4 })];
    const [a, b] = [await free.trainStep(1e-2), await clipped.trainStep(1e-2)];
    expect(b.gradientNorm).toBe(a.gradientNorm);
    const moment = async (trainer: Trainer): Promise<number> => {
      const { m } = (await trainer.checkpoint({})).groups;
      return Math.hypot(...[...(m?.values() ?? [])].flatMap(({ data }) => [...(data as Float32Array)]));
    };
    // The first moment is (1 - beta1) times the gradient that was used.
    expect((await moment(free)) / (0.1 * a.gradientNorm)).toBeCloseTo(1, 4);
    expect((await moment(clipped)) / 1e-5).toBeCloseTo(1, 4);
    await free.close();
    await clipped.close();
  });

  it("stops before it spreads a value that is not finite, naming step and tensor", async () => {
    const trainer = await create();
    await losses(trainer, 2);
    const checkpoint = await trainer.checkpoint({});
    const [name, weight] = [...(checkpoint.groups.weights ?? [])][4] ?? ["", undefined];
    (weight?.data as Float32Array)[3] = Number.NaN;
    trainer.restore(checkpoint);
    const error = await trainer.trainStep(1e-2).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(DivergedError);
    expect((error as DivergedError).step).toBe(3);
    expect(String(error)).toContain(`step 3: the loss is NaN (not finite: ${name}`);
    expect(String(error)).toContain("the weights are those of step 2");
    // Nothing was updated: every other weight is as it was.
    expect(trainer.step).toBe(2);
    const after = (await trainer.checkpoint({})).groups;
    for (const group of ["weights", "m", "v"] as const) expect(after[group]).toEqual(checkpoint.groups[group]);
    await trainer.close();
  });

  it("refuses tokens that the model has no embedding for", async () => {
    for (const field of ["tokens", "targets"] as const) {
      for (const wrong of [256, -1]) {
        const spoil = (batch: Batch): void => {
          batch[field][5] = wrong;
        };
        const trainer = await create({ batches: source(2, LENGTH, spoil) });
        await expect(trainer.trainStep(1e-2)).rejects.toThrow(
          `the training ${field === "tokens" ? "data" : "targets"}: token 5 is ${wrong}; allowed: integers from 0 to 255`,
        );
        await trainer.close();
      }
    }
  });
});
