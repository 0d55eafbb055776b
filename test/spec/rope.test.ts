import { describe, expect, test } from "vitest";
import { ropeFrequencies } from "../../src/spec/rope.ts";

const close = (values: readonly number[]) => values.map((value) => expect.closeTo(value, 12));
const of = (rope: Parameters<typeof ropeFrequencies>[0]) => {
  const { frequencies, attentionScaling } = ropeFrequencies(rope);
  return { frequencies: [...frequencies], attentionScaling };
};

// Expected values were computed in Python from the formulas of the papers.
describe("rope frequencies", () => {
  test("fall from 1 as powers of theta", () => {
    const { frequencies, attentionScaling } = of({ theta: 10000, rotary_dim: 8, scaling: null });
    expect(frequencies).toEqual(close([1, 0.1, 0.01, 0.001]));
    expect(attentionScaling).toBe(1);
  });

  test("are divided by linear scaling", () => {
    const { frequencies } = of({ theta: 10000, rotary_dim: 8, scaling: { type: "linear", factor: 4 } });
    expect(frequencies).toEqual(close([0.25, 0.025, 0.0025, 0.00025]));
  });

  test("stay at the fast end and are divided at the slow end by ntk scaling", () => {
    const { frequencies } = of({ theta: 10000, rotary_dim: 8, scaling: { type: "ntk", factor: 4 } });
    expect(frequencies[0]).toBe(1);
    expect(frequencies[3]).toBeCloseTo(0.001 / 4, 12);
  });

  test("of dynamic scaling are plain up to the length trained on and ntk scaling's beyond", () => {
    const dynamic = (length: number) =>
      of({
        theta: 10000,
        rotary_dim: 8,
        scaling: { type: "dynamic", factor: 2, original_max_length: 64, length },
      }).frequencies;
    expect(dynamic(16)).toEqual(close([1, 0.1, 0.01, 0.001]));
    expect(dynamic(64)).toEqual(close([1, 0.1, 0.01, 0.001]));
    // 2 · 160 / 64 - 1 = 4
    const ntk = of({ theta: 10000, rotary_dim: 8, scaling: { type: "ntk", factor: 4 } });
    expect(dynamic(160)).toEqual(close(ntk.frequencies));
  });

  test("of a proportion of the pairs are those of the whole head, and then none", () => {
    const { frequencies } = of({
      theta: 10000,
      rotary_dim: 8,
      scaling: { type: "proportional", factor: 2, pairs: 3 },
    });
    expect(frequencies).toEqual(close([0.5, 0.05, 0.005, 0]));
  });

  test("of YaRN without whole pairs follow the ramp between real ones", () => {
    const scaling = {
      type: "yarn",
      factor: 4,
      original_max_length: 256,
      beta_fast: 32,
      beta_slow: 1,
      attention_factor: 1,
      truncate: false,
    } as const;
    // The ramp goes from pair 0.2098… to 3.2194…: (16 ln(256 / (2π β))) / (2 ln 10000).
    const pair = (rotations: number): number => (8 * Math.log(256 / (2 * Math.PI * rotations))) / Math.log(10000);
    const [low, high] = [pair(32), pair(1)];
    const { frequencies } = of({ theta: 10000, rotary_dim: 16, scaling });
    expect(frequencies.slice(0, 2)).toEqual(
      close([1, 10000 ** -0.125].map((f, j) => f * (1 - 0.75 * Math.min(1, Math.max(0, (j - low) / (high - low)))))),
    );
    expect(frequencies[7]).toBeCloseTo(10000 ** -0.875 / 4, 12);
  });

  test("follow YaRN's ramp", () => {
    const scaling = {
      type: "yarn",
      factor: 4,
      original_max_length: 256,
      beta_fast: 32,
      beta_slow: 1,
      attention_factor: 1.1,
      truncate: true,
    } as const;
    const { frequencies, attentionScaling } = of({ theta: 10000, rotary_dim: 16, scaling });
    expect(frequencies).toEqual(
      close([
        1, 0.2569350598886808, 0.0625, 0.01383496476323666, 0.0025, 0.0007905694150420947, 0.00025,
        7.905694150420948e-5,
      ]),
    );
    expect(attentionScaling).toBe(1.1);
  });

  test("follow Llama 3's bands", () => {
    const scaling = {
      type: "llama3",
      factor: 8,
      original_max_length: 1024,
      low_freq_factor: 1,
      high_freq_factor: 4,
    } as const;
    const { frequencies } = of({ theta: 500000, rotary_dim: 16, scaling });
    expect(frequencies).toEqual(
      close([
        1, 0.19392274474868576, 0.03760603093086393, 0.001312569345191914, 0.00017677669529663688, 3.428102195952591e-5,
        6.647869871181235e-6, 1.2891731721515574e-6,
      ]),
    );
  });

  test("have divisors of their own in LongRoPE", () => {
    const scaling = {
      type: "longrope",
      factors: [1, 2, 4, 8],
      long_factors: null,
      original_max_length: 0,
      length: 0,
      attention_factor: 1.2,
    } as const;
    const { frequencies, attentionScaling } = of({ theta: 10000, rotary_dim: 8, scaling });
    expect(frequencies).toEqual(close([1, 0.05, 0.0025, 0.000125]));
    expect(attentionScaling).toBe(1.2);
  });
});
