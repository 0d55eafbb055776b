// Choosing tokens from logits.
import { describe, expect, it } from "vitest";
import { argMax, createSampler } from "../../src/model/sample.ts";

const logits = Float32Array.of(0, 2, 1, -1, 1.5);

function counts(options: Parameters<typeof createSampler>[0], draws = 4000): number[] {
  const sampler = createSampler({ temperature: 1, ...options });
  const found = new Array<number>(logits.length).fill(0);
  for (let i = 0; i < draws; i++) {
    const token = sampler.next(logits, []);
    found[token] = (found[token] ?? 0) + 1;
  }
  return found;
}

describe("sampling", () => {
  it("is greedy at temperature 0, the first of equals", () => {
    expect(createSampler().next(logits, [])).toBe(1);
    expect(argMax(Float32Array.of(1, 3, 3))).toBe(1);
    expect(argMax(Float32Array.of(Number.NaN, 1))).toBe(1);
  });

  it("follows the softmax of the logits over the temperature", () => {
    for (const temperature of [0.5, 1, 2]) {
      const weights = Array.from(logits, (x) => Math.exp(x / temperature));
      const total = weights.reduce((a, b) => a + b);
      const found = counts({ temperature, seed: 3 });
      for (const [i, weight] of weights.entries()) expect((found[i] ?? 0) / 4000).toBeCloseTo(weight / total, 1);
    }
  });

  it("keeps the k largest, or the smallest set that reaches p", () => {
    expect(counts({ topK: 2 }).map((n) => n > 0)).toEqual([false, true, false, false, true]);
    expect(counts({ topP: 0.4 }).map((n) => n > 0)).toEqual([false, true, false, false, false]);
    // Probabilities in order: 0.46, 0.28, 0.17, 0.06, 0.02.
    expect(counts({ topP: 0.7 }).map((n) => n > 0)).toEqual([false, true, false, false, true]);
  });

  it("penalises tokens seen before, whatever the sign of their logit", () => {
    const sampler = createSampler({ repetitionPenalty: 4 });
    expect(sampler.next(logits, [1])).toBe(4);
    expect(createSampler({ repetitionPenalty: 2 }).next(Float32Array.of(-1, -1.5), [0])).toBe(1);
    expect(Array.from(logits)).toEqual([0, 2, 1, -1, 1.5]);
  });

  it("leaves out ids that the tokenizer has no text for", () => {
    expect(createSampler({ vocabSize: 1 }).next(logits, [])).toBe(0);
    expect(counts({ vocabSize: 3, topK: 3 }).map((n) => n > 0)).toEqual([true, true, true, false, false]);
    expect(createSampler({ vocabSize: 2, repetitionPenalty: 9 }).next(logits, [4, 1])).toBe(1);
    expect(() => createSampler({ vocabSize: 0 })).toThrow("vocabSize is 0; allowed: a positive whole number");
  });

  it("says so when nothing is finite", () => {
    expect(() => createSampler().next(Float32Array.of(Number.NaN, Number.NaN), [])).toThrow("the model has diverged");
  });
});
