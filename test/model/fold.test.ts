import { describe, expect, it } from "vitest";
import { buildForward } from "../../src/blocks/model.ts";
import { createModel } from "../../src/model/create.ts";
import { foldParameters } from "../../src/ops/passes/fold-parameters.ts";
import { optimise } from "../../src/ops/passes/optimise.ts";
import { createRuntime } from "../../src/runtime/index.ts";
import type { Buffer } from "../../src/runtime/types.ts";
import { loadSpecFile } from "../../src/spec/node/files.ts";

const spec = loadSpecFile("architectures/mamba.yaml");
const graph = optimise(buildForward(spec, { stateful: true }));
const rates = spec.layers.map((layer) => `${layer.weights}.mixer.A_log`);

describe("what depends on weights only", () => {
  it("is taken out of the graph: -exp(A_log) of every Mamba layer, and nothing else", () => {
    const { graph: rest, prologue } = foldParameters(graph);
    expect(prologue?.parameters.map(({ name }) => name)).toEqual(rates);
    expect(prologue?.outputs).toHaveLength(rates.length);
    const names = rest.parameters.map(({ name }) => name);
    for (const { name } of prologue?.outputs ?? []) expect(names).toContain(name);
    for (const name of rates) expect(names).not.toContain(name);
    expect(rest.nodes.filter((node) => node.op.name === "map")).toHaveLength(
      graph.nodes.filter((node) => node.op.name === "map").length - rates.length,
    );
  });

  it("has the same name in every graph of a model", () => {
    const other = optimise(buildForward(spec, { stateful: false, lastOnly: true }));
    const namesIn = (g: typeof graph) => foldParameters(g).prologue?.outputs.map(({ name }) => name);
    expect(namesIn(other)).toEqual(namesIn(graph));
  });

  it("does not include what has the length of the call: the kernel of S4D", () => {
    const s4d = optimise(buildForward(loadSpecFile("architectures/s4d.yaml"), { stateful: false }));
    const kernels = s4d.nodes.filter((node) => node.op.name === "s4d_kernel");
    expect(kernels).not.toEqual([]);
    const { graph: rest, prologue } = foldParameters(s4d);
    expect(rest.nodes.filter((node) => node.op.name === "s4d_kernel")).toHaveLength(kernels.length);
    for (const { tensor } of prologue?.outputs ?? []) expect(tensor.shape.every(Number.isInteger)).toBe(true);
  });

  it("stays where it is when there is nothing to fold", () => {
    const transformer = optimise(buildForward(loadSpecFile("architectures/transformer.yaml"), { stateful: true }));
    expect(foldParameters(transformer)).toEqual({ graph: transformer, prologue: undefined });
  });

  it("is computed in every call of a model whose weights somebody else may write, and only there", async () => {
    const runtime = await createRuntime("wasm", { threads: 1 });
    const owner = await createModel(spec, { runtime, seed: 3 });
    const buffers = new Map<string, Buffer>();
    for (const [name, { shape, data }] of await owner.weights())
      buffers.set(name, runtime.buffer({ shape, dtype: "f32" }, data));
    const guest = await createModel(spec, { runtime, buffers });
    const tokens = [1, 2, 3, 4, 5];
    const before = (await owner.forward(tokens)).logits;
    expect((await guest.forward(tokens)).logits).toEqual(before);
    const [first] = rates;
    const buffer = buffers.get(first ?? "");
    buffer?.write((await buffer.read()).map((value) => value + 1));
    expect((await guest.forward(tokens)).logits).not.toEqual(before);
    expect((await owner.forward(tokens)).logits).toEqual(before);
    await runtime.close();
  });
});
