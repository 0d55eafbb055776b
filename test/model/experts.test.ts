// What a mixture of experts computes and what it leaves alone, as a model on the CPU and the GPU.
import { afterAll, describe, expect, it } from "vitest";
import { buildForward } from "../../src/blocks/model.ts";
import { createModel } from "../../src/model/create.ts";
import { initialiseParameters } from "../../src/model/initialise.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import type { Runtime } from "../../src/runtime/types.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { createWebGpuRuntime } from "../../src/runtime/webgpu/runtime.ts";
import { defineSpec } from "../../src/spec/load.ts";
import type { FfnFields } from "../../src/spec/types.generated.ts";
import type { ArchitectureSpec } from "../../src/spec/types.ts";
import { closeTo, lively } from "./lively.ts";

const WIDTH = 32;
/** One feed-forward layer over an embedding. */
const model = (ffn: FfnFields): ArchitectureSpec =>
  defineSpec({ name: "experts", d_model: WIDTH, vocab_size: 64, blocks: { E: { ffn } }, layers: "E" });

const runtimes: { readonly [name: string]: () => Promise<Runtime> } = {
  reference: () => Promise.resolve(createReferenceRuntime()),
  wasm: () => createWasmRuntime({ threads: 2 }),
  webgpu: () => createWebGpuRuntime({ adapter: "software" }),
};
const made = new Map<string, Promise<Runtime>>();
const runtimeOf = (name: string): Promise<Runtime> => {
  const runtime = made.get(name) ?? runtimes[name]?.();
  if (runtime === undefined) throw new Error(`no runtime ${name}`);
  made.set(name, runtime);
  return runtime;
};
afterAll(async () => {
  for (const runtime of made.values()) await (await runtime).close();
});

async function logitsOf(
  spec: ArchitectureSpec,
  weights: ReadonlyMap<string, Float32Array>,
  tokens: readonly number[],
  runtime = "wasm",
): Promise<Float32Array> {
  const built = await createModel(spec, { runtime: await runtimeOf(runtime), weights });
  const { logits } = await built.forward([tokens]);
  await built.close();
  return logits;
}

const tokens = Array.from({ length: 40 }, (_, i) => (i * 29 + 5) % 64);

/** `weights`, an mlp's, as those of one expert. */
function asExpert(weights: ReadonlyMap<string, Float32Array>, spec: ArchitectureSpec): Map<string, Float32Array> {
  const all = new Map(lively(spec));
  for (const [name, values] of weights) all.set(name.replace("ffn.", "ffn.experts."), values);
  for (const name of [...all.keys()]) if (!lively(spec).has(name)) all.delete(name);
  return all;
}

describe("a mixture of experts", () => {
  it.each([
    ["gated", true],
    ["plain", false],
  ])("of one is the mlp that its expert is: %s", async (_, gated) => {
    const mlp = model({ type: "mlp", d_ff: 48, activation: "gelu", gated });
    const one = model({ type: "moe", n_experts: 1, top_k: 1, d_ff: 48, activation: "gelu", gated });
    const weights = lively(mlp);
    closeTo(await logitsOf(one, asExpert(weights, one), tokens), await logitsOf(mlp, weights, tokens), 1e-6);
  });

  it("of equal experts is that mlp times the sum of the weights, wherever tokens go", async () => {
    const mlp = model({ type: "mlp", d_ff: 48 });
    const many = model({
      ...{ type: "moe", n_experts: 6, top_k: 3, d_ff: 48 },
      router: { score: "sigmoid", selection_bias: true, scale: 1 },
    });
    const weights = lively(mlp);
    const all = new Map(lively(many));
    for (const [name, values] of weights) {
      if (!name.includes("ffn.")) all.set(name, values);
      else
        all.set(
          name.replace("ffn.", "ffn.experts."),
          Float32Array.from(
            Array(6)
              .fill([...values])
              .flat(),
          ),
        );
    }
    closeTo(await logitsOf(many, all, tokens), await logitsOf(mlp, weights, tokens), 2e-6);
  });

  it("with a shared expert whose routed ones are zero is the shared one, behind its gate or not", async () => {
    const mlp = model({ type: "mlp", d_ff: 40, bias: true });
    for (const gate of ["none", "sigmoid"] as const) {
      const spec = model({ type: "moe", n_experts: 4, top_k: 2, d_ff: 16, shared: { d_ff: 40, gate, bias: true } });
      const weights = lively(mlp);
      const all = new Map(lively(spec));
      for (const [name, values] of all) {
        if (name.includes("experts.down_proj") || name.includes("output_gate")) values.fill(0);
        const own = weights.get(name.replace("ffn.shared.", "ffn."));
        if (own !== undefined) all.set(name, own);
      }
      // A gate of zeros lets half through: as much as half of the last projection.
      if (gate === "sigmoid") {
        for (const name of ["weight", "bias"]) {
          const full = `layers.0.ffn.down_proj.${name}`;
          weights.set(full, weights.get(full)?.map((x) => x / 2) ?? new Float32Array());
        }
      }
      closeTo(await logitsOf(spec, all, tokens), await logitsOf(mlp, weights, tokens), 1e-6);
    }
  });

  it.each(Object.keys(runtimes))("never touches experts that no token chose: %s", async (runtime) => {
    const spec = model({
      ...{ type: "moe", n_experts: 4, top_k: 2, d_ff: 32, latent: 16 },
      router: { score: "sigmoid", selection_bias: true },
    });
    const weights = lively(spec);
    weights.set("layers.0.ffn.router.selection_bias", Float32Array.of(0, -100, 0, 0));
    const expected = await logitsOf(spec, weights, tokens, "reference");
    for (const name of ["gate_proj", "up_proj", "down_proj"]) {
      const full = `layers.0.ffn.experts.${name}.weight`;
      const values = Float32Array.from(weights.get(full) ?? []);
      values.fill(Number.NaN, values.length / 4, values.length / 2);
      weights.set(full, values);
    }
    // Many rows, and few.
    closeTo(await logitsOf(spec, weights, tokens, runtime), expected, 2e-5);
    closeTo(await logitsOf(spec, weights, tokens.slice(0, 3), runtime), expected.subarray(0, 3 * 64), 2e-5);
  });

  it.each(["int8", "int4"] as const)("runs with weights of %s", async (weightStorage) => {
    const spec = model({ type: "moe", n_experts: 4, top_k: 2, d_ff: 64, shared: { d_ff: 32 } });
    const weights = lively(spec);
    const runtime = await runtimeOf("webgpu");
    const built = await createModel(spec, { runtime, weights, weightStorage });
    // What the narrow weights stand for, computed in full.
    const stored = new Map([...(await built.weights())].map(([name, { data }]) => [name, data] as const));
    const exact = await logitsOf(spec, stored, tokens);
    closeTo((await built.forward([tokens])).logits, exact, 2e-5);
    closeTo((await built.forward([tokens.slice(0, 2)])).logits, exact.subarray(0, 2 * 64), 2e-5);
    await built.close();
  });

  it("decodes on the GPU without sorting rows, and prefills with", async () => {
    const spec = model({ type: "moe", n_experts: 8, top_k: 2, d_ff: 32 });
    const built = await createModel(spec, { runtime: await runtimeOf("webgpu"), weights: lively(spec) });
    const kernels = async (length: number): Promise<string> =>
      (await built.explain({ length })).flatMap((step) => step.kernels).join("\n");
    const [one, many] = [await kernels(1), await kernels(64)];
    expect(one).toMatch(/top_k/);
    expect(one).not.toMatch(/group_rows/);
    expect(many).toMatch(/group_rows/);
    expect(many).toMatch(/tiles of rows sorted by expert/);
    await built.close();
  });

  it("starts with experts that differ, and projections back that are as small as those of an mlp", () => {
    const spec = model({ type: "moe", n_experts: 4, top_k: 2, d_ff: 64 });
    const weights = initialiseParameters(buildForward(spec, { stateful: false }), 0);
    const deviation = (name: string): number => {
      const values = weights.get(`layers.0.ffn.${name}`) ?? new Float32Array(1);
      return Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
    };
    for (const name of ["router.weight", "experts.up_proj.weight", "experts.down_proj.weight"])
      expect(deviation(name) / 0.02).toBeCloseTo(1, 0);
    const up = weights.get("layers.0.ffn.experts.up_proj.weight") ?? new Float32Array();
    expect(up.subarray(0, 2048)).not.toEqual(up.subarray(2048, 4096));
  });
});
