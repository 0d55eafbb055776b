// The averages of RWKV-4: their definition as a sum over all earlier tokens, finite differences, every build, sizes with tails.
import { describe, expect, test } from "vitest";
import { input } from "../../src/graph/leaves.ts";
import { GraphError } from "../../src/graph/shape.ts";
import type { Tensor } from "../../src/graph/types.ts";
import { batchParts } from "../../src/ops/rg-lru/gpu.ts";
import { wkv } from "../../src/ops/wkv/op.ts";
import { reference } from "../../src/ops/wkv/reference.ts";
import { PART_ALIGNMENT } from "../../src/runtime/webgpu/lowering.ts";
import { checkOp, generator, type OpInput } from "./harness.ts";

function tensor(inputs: Readonly<Record<string, Tensor>>, name: string): Tensor {
  const found = inputs[name];
  if (found === undefined) throw new Error(`no input ${name}`);
  return found;
}

const build = (inputs: Readonly<Record<string, Tensor>>): Record<string, Tensor> => {
  const [k, v, w, u] = ["k", "v", "w", "u"].map((name) => tensor(inputs, name)) as [Tensor, Tensor, Tensor, Tensor];
  const { output, finalState } = wkv(k, v, w, u, inputs.s0);
  return { y: output, sT: finalState };
};

const sequences = (batch: number, channels: number, state: boolean, reach = 1): Record<string, OpInput> => {
  const draw = generator(4);
  // num, den and o of a sum that has begun.
  const s0 = Array.from({ length: 3 * batch * channels }, (_, i) => {
    const part = Math.floor(i / channels) % 3;
    return part === 1 ? 1 + draw() : reach * (2 * draw() - 1);
  });
  return {
    k: { shape: ["B", "T", channels], low: -2 * reach, high: 2 * reach },
    v: { shape: ["B", "T", channels] },
    w: { shape: [channels], low: -1.5, high: -0.01 },
    u: { shape: [channels] },
    ...(state ? { s0: { shape: ["B", 3, channels] as const, values: s0 } } : {}),
  };
};

describe("wkv", () => {
  test.each([
    { batch: 1, tokens: 1, channels: 1, state: false },
    { batch: 1, tokens: 1, channels: 2, state: true },
    { batch: 2, tokens: 5, channels: 2, state: true },
    { batch: 2, tokens: 4, channels: 3, state: false },
    { batch: 3, tokens: 1, channels: 37, state: true },
    { batch: 2, tokens: 33, channels: 18, state: true },
    { batch: 1, tokens: 97, channels: 5, state: false },
    { batch: 1, tokens: 40, channels: 130, state: false },
  ])("of $batch × $tokens × $channels, state $state, agrees with its reference", async (size) => {
    const { batch, tokens, channels, state } = size;
    await checkOp({ inputs: sequences(batch, channels, state), bindings: { B: batch, T: tokens }, build });
  });

  // Sums of e^±200 and beyond the range of float32.
  test.each([100, 1000])("keeps its accuracy with exponents of ±%s", async (reach) => {
    await checkOp({
      inputs: sequences(2, 6, true, reach),
      bindings: { B: 2, T: 20 },
      build,
      finiteDifferences: false,
      tolerance: { outputs: 1e-4, gradients: 1e-3 },
    });
  });

  test("takes a gradient from the final state alone, or from the outputs alone", async () => {
    for (const differentiated of [["sT"], ["y"]]) {
      await checkOp({
        ...{ inputs: sequences(2, 5, true), bindings: { B: 2, T: 4 }, build, differentiated },
        finiteDifferences: true,
        runtimes: ["simd/2", "relaxed/1", "webgpu/default"],
      });
    }
  });

  test("is a mean of all values so far, with weights that fade and a bonus for the newest", () => {
    const draw = generator(9);
    const tokens = 12;
    const [keys, values] = [0, 1].map(() => Float64Array.from({ length: tokens }, () => 4 * draw() - 2)) as [
      Float64Array,
      Float64Array,
    ];
    const [w, u] = [-0.3, 0.7];
    const host = (shape: number[], data: ArrayLike<number>) => ({
      shape,
      dtype: "f32" as const,
      data: Float64Array.from(data),
    });
    const sequence = [1, tokens, 1];
    const [y] = reference(
      [host(sequence, keys), host(sequence, values), host([1], [w]), host([1], [u]), undefined],
      {},
    );
    for (let t = 0; t < tokens; t++) {
      const weights = Array.from(keys.subarray(0, t + 1), (k, i) => Math.exp(i === t ? u + k : k + (t - 1 - i) * w));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const mean = weights.reduce((sum, weight, i) => sum + weight * (values[i] ?? 0), 0) / total;
      expect(y?.data[t]).toBeCloseTo(mean, 12);
    }
  });

  test.each([
    { batch: 18, channels: 512, widest: 3 * 512 * 16, maxBinding: 1 << 20 },
    { batch: 5000, channels: 6, widest: 18, maxBinding: 1 << 18 },
    { batch: 300, channels: 96, widest: 960, maxBinding: 1 << 18 },
    { batch: 3, channels: 7, widest: 21, maxBinding: 1 << 20 },
  ])("is cut between rows where every tensor may be cut: $batch rows of $channels", (size) => {
    const { batch, channels, widest } = size;
    const tensor = { kind: "tensor", shape: [batch, widest], dtype: "f32", storage: "f32" } as const;
    const parts = batchParts(batch, channels, widest, size);
    expect(parts.map(({ first }) => first)).toEqual(parts.map((_, i) => i * (parts[0]?.rows ?? 0)));
    expect(parts.reduce((sum, { rows }) => sum + rows, 0)).toBe(batch);
    for (const { rows, cut } of parts) {
      if (parts.length > 1) expect(4 * rows * widest).toBeLessThanOrEqual(size.maxBinding);
      for (const width of [channels, widest]) {
        const place = cut(tensor, width);
        expect(place?.kind === "part" ? place.first % PART_ALIGNMENT : 0).toBe(0);
      }
    }
    expect(parts.length > 1).toBe(4 * batch * widest > size.maxBinding);
  });

  test("refuses what does not fit", () => {
    const k = input("k", ["B", "T", 4]);
    const [w, u] = [input("w", [4]), input("u", [4])];
    expect(() => wkv(k, input("v", ["B", "T", 5]), w, u)).toThrow(GraphError);
    expect(() => wkv(input("k2", ["B", 4]), k, w, u)).toThrow("not f32 [batch, time, channels]");
    expect(() => wkv(k, k, input("w2", [3]), u)).toThrow("w f32 [3] is not f32 [4]");
    expect(() => wkv(k, k, w, u, input("s", ["B", 4]))).toThrow("s0 f32");
  });
});
