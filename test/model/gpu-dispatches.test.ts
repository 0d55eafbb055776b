// How many dispatches a decoding step takes on the GPU: what bounds it there, more than the work does.
import { afterAll, describe, expect, it } from "vitest";
import { createModel } from "../../src/model/create.ts";
import { createWebGpuRuntime } from "../../src/runtime/webgpu/runtime.ts";

const runtime = createWebGpuRuntime({ adapter: "software" });
afterAll(async () => (await runtime).close());

const blocks: Readonly<Record<string, { readonly most: number; readonly yaml: string }>> = {
  Mamba: { most: 6, yaml: "{mixer: {type: mamba, d_state: 8}}" },
  "Mamba-2": { most: 6, yaml: "{mixer: {type: mamba2, n_heads: 4, head_dim: 16, d_state: 16}}" },
  attention: { most: 7, yaml: "{mixer: {type: attention, n_heads: 4, n_kv_heads: 2, rope: true}}" },
  MLP: { most: 3, yaml: "{ffn: {type: mlp, d_ff: 64, gated: true}}" },
};

async function dispatches(block: string, layers: number): Promise<number> {
  const yaml = `
name: dispatches
d_model: 32
vocab_size: 64
blocks:
  X: ${block}
layers: "X{${layers}}"
`;
  const model = await createModel(yaml, { runtime: await runtime });
  const explanations = await model.explain({ length: 1 });
  return explanations.reduce((sum, { kernels }) => sum + kernels.length, 0);
}

describe("a decoding step takes few dispatches", () => {
  it.each(Object.entries(blocks))("per block of %s", async (_, { most, yaml }) => {
    const more = (await dispatches(yaml, 3)) - (await dispatches(yaml, 2));
    expect(more).toBeGreaterThan(0);
    expect(more).toBeLessThanOrEqual(most);
  });
});
