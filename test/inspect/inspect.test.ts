// What inspect reports, against formulas worked out by hand and against the models that really run.
import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { attentionOnly, equalAttention } from "../../src/inspect/attention-only.ts";
import { createEstimator, type Inspection, inspect } from "../../src/inspect/inspect.ts";
import { createModel } from "../../src/model/create.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { defineSpec } from "../../src/spec/load.ts";
import { loadSpecFile } from "../../src/spec/node/files.ts";
import type { ArchitectureSpec } from "../../src/spec/types.ts";

const file = (name: string): ArchitectureSpec => loadSpecFile(`architectures/${name}.yaml`);
const files = readdirSync("architectures").filter((name) => name.endsWith(".yaml"));
const parts = (report: Inspection): Record<string, number> =>
  Object.fromEntries(report.parameters.parts.map(({ part, parameters }) => [part, parameters]));

describe("parameters", () => {
  it("of the Llama-like transformer follow from its widths", () => {
    const report = inspect(file("transformer"));
    const [d, kv, ff] = [64, 32, 176];
    const attention = 2 * d * d + 2 * d * kv;
    expect(parts(report)).toEqual({
      embedding: 256 * d,
      attention: 3 * attention,
      mlp: 3 * 3 * d * ff,
      norms: (2 * 3 + 1) * d,
    });
    expect(report.layers.map((layer) => layer.parameters)).toEqual(
      [0, 1, 2].flatMap(() => [attention + d, 3 * d * ff + d]),
    );
  });

  it("of mamba-130m are those of the published model", () => {
    expect(inspect(file("bench/mamba-130m")).parameters.total).toBe(129_135_360);
  });

  it("of experts count whole, and for a token by those that it is sent to", () => {
    const report = inspect(file("nemotron-3"), { contexts: [64] });
    const [d, latent, ff, shared] = [64, 32, 96, 128];
    const experts = 8 * 2 * latent * ff;
    const others = 8 * d + 8 + 2 * d * latent + 2 * d * shared;
    expect(parts(report).moe).toBe(3 * (experts + others));
    expect(report.layers[1]?.parameters).toBe(experts + others + d);
    expect(report.layers[1]?.active_parameters).toBe((experts * 3) / 8 + others + d);
    expect(report.parameters.total - report.parameters.active).toBe((3 * experts * 5) / 8);
    // Each token pays for three experts, not for eight.
    const { decode } = report.layers[1]?.flops_per_token ?? { decode: 0 };
    expect(decode).toBeGreaterThan(2 * (3 * 2 * latent * ff + 2 * d * (latent + shared)));
    expect(decode).toBeLessThan(2 * 1.1 * (3 * 2 * latent * ff + 2 * d * (latent + shared) + 8 * d));
  });

  it("that layers share are counted once in the model, and in each layer that uses them", () => {
    const report = inspect(file("zamba"));
    const shared = report.layers.filter((layer) => layer.shared === "shared.A");
    expect(shared).toHaveLength(2);
    // Queries, keys and values come from the stream beside the embeddings.
    const attention = 3 * 128 * 128 + 128 * 64;
    expect(shared[0]?.parameters).toBe(attention + 128);
    expect(parts(report).attention).toBe(attention);
  });

  it("of adapters belong to the layer, beside weights that it shares", () => {
    const report = inspect(file("zamba2"));
    const uses = report.layers.filter((layer) => layer.shared === "shared.F");
    const [mlp, adapter] = [3 * 64 * 192 + 64, 4 * 64 + 2 * 192 * 4];
    expect(uses.map((layer) => layer.parameters)).toEqual([mlp + adapter, mlp + adapter]);
    expect(parts(report).mlp).toBe(2 * 3 * 64 * 192 + 3 * adapter);
  });

  it.each(files)("of %s add up, and are the weights that its model has", (name) => {
    const spec = file(name.replace(".yaml", ""));
    const report = inspect(spec, { contexts: [64] });
    const sum = report.parameters.parts.reduce((total, part) => total + part.parameters, 0);
    expect(sum).toBe(report.parameters.total);
    const tensors = createEstimator(spec).parameters;
    const under = (scopes: readonly string[]): number =>
      tensors
        .filter(({ name }) => scopes.some((scope) => name.startsWith(`${scope}.`)))
        .reduce((total, { tensor }) => total + (tensor.shape as number[]).reduce((n, dim) => n * dim, 1), 0);
    for (const { index, shared, parameters } of report.layers) {
      expect(parameters).toBe(under([`layers.${index}`, ...(shared === null ? [] : [shared])]));
    }
    const inLayers = under(["layers", "shared"]);
    expect(inLayers + report.outside.parameters).toBe(report.parameters.total);
  });
});

describe("state", () => {
  it.each(files)("of %s has the bytes that its model's state has", async (name) => {
    const spec = file(name.replace(".yaml", ""));
    const model = await createModel(spec, { runtime: createReferenceRuntime() });
    for (const context of [1, 16, 100, 512]) {
      const [report] = inspect(spec, { contexts: [context] }).contexts;
      expect(report?.state.total).toBe(model.createState(1, { context }).byteLength);
    }
    await model.close();
  });

  it("of attention is 2 · layers · kv heads · head width · 4 bytes for each key in the window", () => {
    const samba = inspect(file("samba"), { contexts: [8, 32, 4096] });
    const cache = (keys: number): number => 2 * 2 * 4 * 16 * 4 * keys;
    expect(samba.contexts.map(({ state }) => state.kv_cache)).toEqual([cache(8), cache(32), cache(32)]);
    const [transformer] = inspect(file("transformer"), { contexts: [1000] }).contexts;
    expect(transformer?.state).toEqual({
      ssm: 0,
      convolution: 0,
      kv_cache: 2 * 3 * 2 * 16 * 4 * 1000,
      total: 2 * 3 * 2 * 16 * 4 * 1000,
    });
  });

  it("of Mamba is d_inner · (d_state + d_conv - 1) floats a layer, whatever the context", () => {
    for (const { state } of inspect(file("mamba"), { contexts: [1, 1_000_000] }).contexts) {
      expect(state).toMatchObject({ ssm: 4 * 128 * 16 * 4, convolution: 4 * 128 * 3 * 4, kv_cache: 0 });
    }
  });

  it.each([
    ["mamba2", 3],
    ["gated-delta", 3],
    ["gru", 0],
    ["s4d", 0],
    ["retnet", 0],
  ])("of %s tells recurrences from convolutions", (name, convolved) => {
    const [report] = inspect(file(name), { contexts: [128] }).contexts;
    expect(report?.state.ssm).toBeGreaterThan(0);
    expect((report?.state.convolution ?? 0) > 0).toBe(convolved > 0);
  });
});

describe("FLOPs", () => {
  it("of all products are 2 a weight going forward and 6 in training", () => {
    const spec = file("transformer");
    const { tallies } = createEstimator(spec);
    const [d, kv, ff, tokens] = [64, 32, 176, 128];
    const inLayers = 3 * (2 * d * d + 2 * d * kv + 3 * d * ff);
    const head = 256 * d;
    const { training, prefill, decode } = tallies(tokens);
    const products = (ops: ReadonlyMap<string, number>) =>
      [...ops].filter(([op]) => op.startsWith("matmul")).reduce((sum, [, flops]) => sum + flops, 0);
    expect(products(training.tally.ops)).toBe(6 * (inLayers + head) * tokens);
    expect(products(decode.tally.ops)).toBe(2 * (inLayers + head));
    // Only the last token of a prompt needs logits.
    expect(products(prefill.tally.ops)).toBe(2 * inLayers * tokens + 2 * head);
  });

  it("of attention grow with the keys a query sees: all of them, or a window", () => {
    const perPair = 4 * (2 * 16 + 2 * 16 + 4);
    const full = createEstimator(file("transformer"));
    const attention = (context: number, estimator = full): number =>
      estimator.tallies(context).decode.tally.ops.get("attention") ?? 0;
    expect(attention(1)).toBe(3 * perPair);
    expect(attention(1000)).toBe(3 * perPair * 1000);
    const windowed = createEstimator(file("samba"));
    expect(attention(1000, windowed)).toBe(2 * perPair * 32);
  });

  it.each(["transformer", "samba"])("of reading a prompt with %s are those of all its steps", (name) => {
    const { tallies } = createEstimator(file(name));
    const length = 50;
    let steps = 0;
    for (let n = 1; n <= length; n++) steps += tallies(n).decode.tally.ops.get("attention") ?? 0;
    expect(tallies(length).prefill.tally.ops.get("attention")).toBe(steps);
  });

  it("of the selective scan are 7 a state and 16 a channel for each token", () => {
    const { tallies } = createEstimator(file("mamba"));
    const { prefill, decode } = tallies(512);
    expect(decode.tally.ops.get("selective_scan")).toBe(4 * 128 * (7 * 16 + 16));
    expect(prefill.tally.ops.get("selective_scan")).toBe(512 * 4 * 128 * (7 * 16 + 16));
  });

  it("of layers and of what is outside of them add up", () => {
    const report = inspect(file("falcon-h1"), { contexts: [256] });
    for (const kind of ["training", "prefill", "decode"] as const) {
      const inside = report.layers.reduce((sum, layer) => sum + layer.flops_per_token[kind], 0);
      const whole = report.contexts[0]?.flops_per_token[kind] ?? 0;
      expect(inside + report.outside.flops_per_token[kind]).toBeCloseTo(whole, 3);
      expect(report.ops.reduce((sum, op) => sum + op[kind], 0)).toBeCloseTo(1, 9);
    }
  });
});

describe("the same model with attention only", () => {
  it("has full attention as wide as the model in place of every mixer, and the same FFNs", () => {
    const spec = file("samba");
    const peer = attentionOnly(spec);
    const operators = peer.layers.flatMap((layer) => layer.branches.map((branch) => branch.operator));
    expect(operators.map((operator) => operator.type)).toEqual(
      spec.layers.map((_, i) => (i % 2 ? "mlp" : "attention")),
    );
    for (const operator of operators) {
      if (operator.type === "attention") expect(operator).toMatchObject({ n_heads: 4, head_dim: 16, window: null });
    }
    const [report] = inspect(peer, { contexts: [1000] }).contexts;
    expect(report?.state.total).toBe(4 * 2 * 64 * 4 * 1000);
  });

  it("shares keys as the model's own attention does", () => {
    expect(equalAttention(file("jamba"))).toMatchObject({ n_heads: 4, n_kv_heads: 2, head_dim: 16, rope: null });
  });

  it("takes heads of 64 where the model has no attention, or the widest that divide it", () => {
    expect(equalAttention(file("bench/mamba-130m"))).toMatchObject({ n_heads: 12, n_kv_heads: 12, head_dim: 64 });
    const odd = { ...file("mamba"), d_model: 90 };
    expect(equalAttention(odd)).toMatchObject({ n_heads: 2, head_dim: 45 });
  });
});

describe("inspection", () => {
  it("refuses contexts that learned positions do not reach, and nonsense", () => {
    expect(() => inspect(file("gpt2"), { contexts: [513] })).toThrow(
      "learned positions for 512 tokens; a context of 513",
    );
    expect(() => inspect(file("mamba"), { contexts: [0.5] })).toThrow("a context of 0.5 is not a number of tokens");
    expect(inspect(file("gpt2")).contexts.map(({ context }) => context)).toEqual([512]);
  });

  it("allocates nothing: a model of a hundred billion parameters takes no more than a small one", () => {
    const spec = defineSpec({
      name: "huge",
      d_model: 16384,
      vocab_size: 128000,
      blocks: {
        M: { mixer: { type: "mamba" } },
        A: { mixer: { type: "attention", n_heads: 128 } },
        F: { ffn: { type: "mlp", d_ff: 53248 } },
      },
      layers: "(MFMFMFAF){9}",
    });
    const before = process.memoryUsage().arrayBuffers;
    const report = inspect(spec, { contexts: [1_048_576] });
    expect(report.parameters.total).toBeGreaterThan(100e9);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(50e6);
  });

  it("counts activations that grow with the context, and four values for each weight", () => {
    const [short, long] = inspect(file("quickstart"), { contexts: [256, 512] }).contexts;
    expect(short?.training_memory.parameters).toBe(16 * inspect(file("quickstart")).parameters.total);
    const ratio = (long?.training_memory.activations ?? 0) / (short?.training_memory.activations ?? 1);
    expect(ratio).toBeGreaterThan(1.8);
    expect(ratio).toBeLessThan(2.2);
  });
});
