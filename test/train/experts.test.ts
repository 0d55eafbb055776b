// Training a mixture of experts: what is added to the loss, its gradients, and the bias that moves towards equal load.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildLoss, buildObjective } from "../../src/blocks/model.ts";
import type { BatchSource } from "../../src/data/batches.ts";
import { makeGraph } from "../../src/graph/graph.ts";
import { scalar } from "../../src/graph/leaves.ts";
import { differentiate } from "../../src/ops/gradients.ts";
import type { HostTensor } from "../../src/ops/types.ts";
import { evaluateGraph } from "../../src/runtime/reference/runtime.ts";
import type { Runtime } from "../../src/runtime/types.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { createWebGpuRuntime } from "../../src/runtime/webgpu/runtime.ts";
import { defineSpec } from "../../src/spec/load.ts";
import type { RouterFields } from "../../src/spec/types.generated.ts";
import type { ArchitectureSpec } from "../../src/spec/types.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { lively } from "../model/lively.ts";
import { compare, generator } from "../ops/harness.ts";

const EXPERTS = 4;
const [BATCH, LENGTH] = [2, 12];

const model = (router: RouterFields, layers = "EE"): ArchitectureSpec =>
  defineSpec({
    ...{ name: "experts", d_model: 8, vocab_size: 16, layers },
    blocks: { E: { ffn: { type: "moe", n_experts: EXPERTS, top_k: 2, d_ff: 8, router } } },
  });

const draw = generator(11);
const ids = (): Int32Array => Int32Array.from({ length: BATCH * LENGTH }, () => Math.floor(draw() * 16));
const batch = { tokens: ids(), targets: ids() };

/** Values of outputs and gradients of the objective, in float64. */
function evaluate(spec: ArchitectureSpec, weights: ReadonlyMap<string, ArrayLike<number>>) {
  const graph = buildObjective(spec);
  const objective = graph.outputs.find(({ name }) => name === "objective")?.tensor;
  if (objective === undefined) throw new Error("no objective");
  const gradients = differentiate(
    [{ tensor: objective, gradient: scalar(1) }],
    graph.parameters.map(({ tensor }) => tensor),
  );
  const outputs = [...graph.outputs];
  for (const [i, { name }] of graph.parameters.entries()) {
    const tensor = gradients[i];
    if (tensor !== undefined) outputs.push({ name: `gradient.${name}`, tensor });
  }
  const all = evaluateGraph(makeGraph({ outputs }), { B: BATCH, T: LENGTH, C: 0 }, (node): HostTensor => {
    const { name, shape } = node.attributes as { name: string; shape: readonly number[] };
    const inputs: Readonly<Record<string, Int32Array>> = batch;
    const data = inputs[name];
    if (data !== undefined) return { shape: [BATCH, LENGTH], dtype: "i32", data };
    return { shape, dtype: "f32", data: Float64Array.from(weights.get(name) ?? []) };
  });
  return new Map(outputs.map(({ name, tensor }) => [name, (all.get(tensor)?.data ?? []) as Float64Array] as const));
}

const value = (results: ReadonlyMap<string, Float64Array>, name: string): number =>
  results.get(name)?.[0] ?? Number.NaN;

describe("what training adds to the loss", () => {
  it("is 1 where a router gives every expert the same, and n_experts where it sends all to one", () => {
    const spec = model({ balance_loss: 0.5, z_loss: 0.25 }, "E");
    const weights = new Map<string, ArrayLike<number>>(lively(spec));
    weights.set("layers.0.ffn.router.weight", new Float32Array(8 * EXPERTS));
    const even = evaluate(spec, weights);
    // The choice of equals is the first two, but scores are equal: Σ f_e / E · E.
    expect(value(even, "balance_loss")).toBeCloseTo(1, 12);
    expect(value(even, "z_loss")).toBeCloseTo(Math.log(EXPERTS) ** 2, 12);
    expect(value(even, "peak_load")).toBe(EXPERTS / 2);
    expect(value(even, "objective")).toBeCloseTo(
      value(even, "loss") + 0.5 * value(even, "balance_loss") + 0.25 * value(even, "z_loss"),
      12,
    );
    // Norm and embedding the same for every token: one row of the router wins them all.
    weights.set("embedding.weight", new Float32Array(16 * 8).fill(1));
    weights.set("layers.0.ffn.router.weight", new Float32Array(8 * EXPERTS).fill(50, 0, 8));
    const uneven = evaluate(spec, weights);
    // f = (½, ½, 0, 0), P = (1, 0, 0, 0).
    expect(value(uneven, "balance_loss")).toBeCloseTo(EXPERTS / 2, 6);
  });

  it("is left out where its coefficients are 0, and from the loss of evaluation", () => {
    const spec = model({ selection_bias: true });
    const graph = buildObjective(spec);
    const names = graph.outputs.map(({ name }) => name);
    expect(names).not.toContain("balance_loss");
    expect(names).not.toContain("z_loss");
    expect(names).toEqual(expect.arrayContaining(["peak_load", "excess.layers.0.ffn.router.selection_bias"]));
    const tensors = Object.fromEntries(graph.outputs.map(({ name, tensor }) => [name, tensor]));
    expect(tensors.objective).toBe(tensors.loss);
    expect(buildLoss(spec).outputs.map(({ name }) => name)).toEqual(["loss", "logits"]);
  });

  it.each([
    ["softmax", { balance_loss: 0.7, z_loss: 0.3 }],
    ["softmax as it is", { balance_loss: 0.7, normalize: false }],
    ["sigmoid", { score: "sigmoid", selection_bias: true, balance_loss: 0.7, z_loss: 0.3, scale: 1.5 }],
  ] as const)("has the gradients of finite differences: %s", (_, router) => {
    const spec = model(router, "E");
    const weights = new Map<string, ArrayLike<number>>(lively(spec));
    const results = evaluate(spec, weights);
    for (const name of ["layers.0.ffn.router.weight", "layers.0.ffn.experts.up_proj.weight"]) {
      const at = Float64Array.from(weights.get(name) ?? []);
      const step = 1e-6;
      const numeric = at.slice(0, 32).map((x, i) => {
        const objective = (shifted: number): number => {
          const moved = Float64Array.from(at);
          moved[i] = shifted;
          return value(evaluate(spec, new Map(weights).set(name, moved)), "objective");
        };
        return (objective(x + step) - objective(x - step)) / (2 * step);
      });
      const analytic = results.get(`gradient.${name}`)?.slice(0, 32) ?? [];
      compare(name, analytic, numeric, 1e-5);
    }
    // Nothing leads to the bias.
    expect(results.has("gradient.layers.0.ffn.router.selection_bias")).toBe(false);
  });
});

describe("the trainer", () => {
  let runtime: Runtime;
  beforeAll(async () => {
    runtime = await createWasmRuntime({ threads: 2 });
  });
  afterAll(() => runtime.close());

  const source: BatchSource = {
    batch: BATCH,
    length: LENGTH,
    next: () => batch,
    position: () => ({ order: "sequential", window: 0 }),
    restore: () => {},
  };
  const create = (spec: ArchitectureSpec, on = runtime, accumulation = 1, checkpointing = false): Promise<Trainer> =>
    Trainer.create({
      ...{ spec, runtime: on, batches: source, accumulation, checkpointing, seed: 0 },
      ...{ betas: [0.9, 0.95], eps: 1e-8, weightDecay: 0.1, gradientClip: 1 },
    });
  const biasOf = async (trainer: Trainer): Promise<number[]> => {
    const weights = await trainer.model.weights();
    return Array.from(weights.get("layers.0.ffn.router.selection_bias")?.data ?? []);
  };

  it("tells of its routers, whatever is recomputed and however often gradients are added up", async () => {
    const spec = model({ z_loss: 0.001 });
    const facts = [];
    for (const [accumulation, checkpointing] of [
      [1, false],
      [1, true],
      [3, false],
    ] as const) {
      const trainer = await create(spec, runtime, accumulation, checkpointing);
      facts.push(await trainer.trainStep(0.01), await trainer.trainStep(0.01));
      await trainer.close();
    }
    const [first, second] = facts;
    expect(first?.routers.balance_loss).toBeGreaterThan(0.9);
    expect(first?.routers.z_loss).toBeGreaterThan(1);
    expect(first?.routers.peak_load).toBeGreaterThanOrEqual(1);
    for (const i of [2, 4]) {
      for (const key of ["balance_loss", "z_loss", "peak_load"] as const) {
        expect(facts[i]?.routers[key]).toBeCloseTo(first?.routers[key] ?? 0, 5);
        expect(facts[i + 1]?.routers[key]).toBeCloseTo(second?.routers[key] ?? 0, 4);
      }
      expect(facts[i]?.gradientNorm).toBeCloseTo(first?.gradientNorm ?? 0, 5);
      expect(facts[i + 1]?.loss).toBeCloseTo(second?.loss ?? 0, 4);
    }
  });

  it("says nothing of routers where there are none", async () => {
    const spec = defineSpec({
      ...{ name: "plain", d_model: 8, vocab_size: 16, layers: "F" },
      blocks: { F: { ffn: { type: "mlp", d_ff: 8 } } },
    });
    const trainer = await create(spec);
    expect((await trainer.trainStep(0.01)).routers).toEqual({});
    await trainer.close();
  });

  it("moves each bias by its rate, against the load, and nothing else moves it", async () => {
    const spec = model({ score: "sigmoid", selection_bias: true, bias_rate: 0.01 }, "E");
    const trainer = await create(spec);
    const before = evaluate(
      spec,
      new Map([...(await trainer.model.weights())].map(([name, { data }]) => [name, data])),
    );
    const excess = Array.from(before.get("excess.layers.0.ffn.router.selection_bias") ?? []);
    expect(Math.max(...excess)).toBeGreaterThan(0);
    const { gradientNorm } = await trainer.trainStep(0);
    expect(gradientNorm).toBeGreaterThan(0);
    const expected = excess.map((x) => -0.01 * Math.sign(x));
    for (const [i, bias] of (await biasOf(trainer)).entries()) expect(bias).toBeCloseTo(expected[i] ?? 0, 7);
    await trainer.close();
  });

  it("evens the load by the bias alone, and by the loss alone", async () => {
    // A router that sends almost all to its first expert.
    const run = async (router: RouterFields, rate: number, steps: number): Promise<[number, number]> => {
      const trainer = await create(model(router, "E"));
      const start = await trainer.checkpoint(null);
      const weightOf = (name: string): Float32Array => start.groups.weights?.get(name)?.data as Float32Array;
      const embedding = weightOf("embedding.weight");
      embedding.set(embedding.map((x) => x + 0.05));
      weightOf("layers.0.ffn.router.weight").fill(0.05, 0, 8);
      trainer.restore(start);
      const loads: number[] = [];
      for (let step = 0; step < steps; step++)
        loads.push((await trainer.trainStep(rate)).routers.peak_load ?? Number.NaN);
      await trainer.close();
      const mean = (part: readonly number[]): number => part.reduce((sum, x) => sum + x, 0) / part.length;
      return [loads[0] ?? Number.NaN, mean(loads.slice(-20))];
    };
    const [first, last] = await run({ score: "sigmoid", selection_bias: true, bias_rate: 0.0005 }, 0, 300);
    expect(first).toBeGreaterThan(1.8);
    expect(last).toBeLessThan(1.4);
    const [, unhelped] = await run({ balance_loss: 0 }, 0.002, 80);
    const [, helped] = await run({ balance_loss: 1 }, 0.002, 80);
    expect(helped).toBeLessThan(0.93 * unhelped);
  });

  it("gives the same on the GPU", async () => {
    const gpu = await createWebGpuRuntime({ adapter: "software" });
    const spec = model(
      { score: "sigmoid", selection_bias: true, balance_loss: 0.1, z_loss: 0.01, bias_rate: 0.01 },
      "E",
    );
    try {
      const results = [];
      for (const on of [runtime, gpu]) {
        const trainer = await create(spec, on);
        results.push([await trainer.trainStep(0.01), await trainer.trainStep(0.01), await biasOf(trainer)] as const);
        await trainer.close();
      }
      const [cpu, other] = results;
      expect(other?.[2]).toEqual(cpu?.[2]);
      for (const step of [0, 1] as const) {
        expect(other?.[step].loss).toBeCloseTo(cpu?.[step].loss ?? 0, 4);
        expect(other?.[step].routers.balance_loss).toBeCloseTo(cpu?.[step].routers.balance_loss ?? 0, 4);
        expect(other?.[step].routers.peak_load).toBeCloseTo(cpu?.[step].routers.peak_load ?? 0, 5);
      }
    } finally {
      await gpu.close();
    }
  });
});
