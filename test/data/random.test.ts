// The random stream: published vectors, exact resumption, independence of splits, right distributions.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { philox4x32, Random } from "../../src/data/random.ts";

const hex = (words: Uint32Array) => [...words].map((word) => word.toString(16).padStart(8, "0")).join(" ");

describe("philox4x32", () => {
  // Random123 1.14, tests/kat_vectors, rows "philox4x32 10".
  test.each([
    [[0, 0, 0, 0], [0, 0], "6627e8d5 e169c58d bc57ac4c 9b00dbd8"],
    [Array(4).fill(0xffffffff), Array(2).fill(0xffffffff), "408f276d 41c83b0e a20bc7c6 6d5451fd"],
    [[0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0], "d16cfe09 94fdcceb 5001e420 24126ea1"],
  ])("gives the published block for counter %j", (counter, key, expected) => {
    expect(hex(philox4x32(counter, key))).toBe(expected);
  });
});

describe("Random", () => {
  test("is the Philox stream of its seed", () => {
    const random = Random.fromSeed(0);
    expect(hex(Uint32Array.from({ length: 4 }, () => random.uint32()))).toBe("6627e8d5 e169c58d bc57ac4c 9b00dbd8");
  });

  test("goes on from a saved state as if never interrupted", () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 31 }), fc.nat({ max: 50 }), (seed, drawn) => {
        const random = Random.fromSeed(seed);
        for (let i = 0; i < drawn; i++) random.uint32();
        const resumed = Random.fromState(JSON.parse(JSON.stringify(random.state())));
        expect(resumed.state()).toEqual(random.state());
        for (let i = 0; i < 9; i++) expect(resumed.uint32()).toBe(random.uint32());
      }),
    );
  });

  test("carries its counter from word to word", () => {
    const full = { algorithm: "philox4x32-10" as const, key: [1, 2] as [number, number], used: 4 };
    const random = Random.fromState({ ...full, counter: [0xffffffff, 0xffffffff, 7, 0] });
    random.uint32();
    expect(random.state().counter).toEqual([0, 0, 8, 0]);
    const resumed = Random.fromState(random.state());
    expect(resumed.uint32()).toBe(random.uint32());
  });

  test("refuses seeds and states that are none", () => {
    expect(() => Random.fromSeed(-1)).toThrow("-1 is not an integer");
    expect(() => Random.fromSeed(0.5)).toThrow(RangeError);
    const state = Random.fromSeed(1).state();
    for (const broken of [
      { ...state, used: 5 },
      { ...state, key: [1] as unknown as [number, number] },
      { ...state, counter: [0, 0, 0, 2 ** 32] as [number, number, number, number] },
      { ...state, algorithm: "mt19937" as "philox4x32-10" },
      null as unknown as typeof state,
    ]) {
      expect(() => Random.fromState(broken)).toThrow(RangeError);
    }
  });

  test("splits by name, whatever has been drawn", () => {
    const parent = Random.fromSeed(5);
    const before = parent.split("data").uint32();
    parent.uint32();
    expect(parent.split("data").uint32()).toBe(before);
    const first = ["data", "weights", "sample", "a long label of more than eight bytes", "", 0, "0", 1].map((label) =>
      parent.split(label).uint32(),
    );
    expect(new Set(first).size).toBe(first.length);
    expect(Random.fromSeed(6).split("data").uint32()).not.toBe(before);
  });

  test("draws uniform and normal deviates with the right moments", () => {
    const random = Random.fromSeed(1);
    const moments = (values: Float64Array) => {
      const mean = values.reduce((a, b) => a + b, 0) / values.length;
      return [mean, values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length];
    };
    const [uniformMean = 0, uniformVariance = 0] = moments(random.fillUniform(new Float64Array(100_000), -1, 3));
    expect(uniformMean).toBeCloseTo(1, 1);
    expect(uniformVariance).toBeCloseTo(16 / 12, 1);
    const [mean = 0, variance = 0] = moments(random.fillNormal(new Float64Array(100_001), 2, 0.5));
    expect(mean).toBeCloseTo(2, 2);
    expect(variance).toBeCloseTo(0.25, 2);
    const [single = 0, spread = 0] = moments(Float64Array.from({ length: 50_000 }, () => random.normal()));
    expect(Math.abs(single)).toBeLessThan(0.02);
    expect(spread).toBeCloseTo(1, 1);
  });

  test("draws integers without bias", () => {
    const random = Random.fromSeed(2);
    const counts = new Int32Array(7);
    for (let i = 0; i < 70_000; i++) {
      const index = random.integer(-3, 4) + 3;
      counts[index] = (counts[index] ?? 0) + 1;
    }
    const chiSquare = counts.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0);
    expect(chiSquare).toBeLessThan(22.5); // 99.9% point of chi-square with 6 degrees of freedom
    expect(() => random.integer(3, 3)).toThrow(RangeError);
    expect(() => random.integer(0, 2 ** 33)).toThrow(RangeError);
  });

  test("shuffles into a permutation and samples without repeats", () => {
    const random = Random.fromSeed(3);
    const items = random.shuffle(Array.from({ length: 100 }, (_, i) => i));
    expect(items).not.toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect([...items].sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i));
    const sample = [...random.sample(50, 10, 60)];
    expect([...sample].sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, i) => i + 10));
    expect(() => random.sample(4, 0, 3)).toThrow("cannot draw 4 different integers from [0, 3)");
  });
});
