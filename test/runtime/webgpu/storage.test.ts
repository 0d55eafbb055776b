// Narrow storage: halves are rounded as IEEE 754 says, blocks of integers stay within half a step.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { dequantise, halfOf, halfValue, quantise } from "../../../src/runtime/webgpu/storage.ts";

describe("halves", () => {
  it.each([
    [0, 0x0000],
    [-0, 0x8000],
    [1, 0x3c00],
    [-2, 0xc000],
    [65504, 0x7bff],
    [65519.99, 0x7bff],
    [65520, 0x7c00],
    [-1e9, 0xfc00],
    [2 ** -14, 0x0400],
    [2 ** -24, 0x0001],
    [2 ** -25, 0x0000],
    [2 ** -25 * 1.0001, 0x0001],
    [3 * 2 ** -25, 0x0002],
    [1 + 2 ** -11, 0x3c00],
    [1 + 3 * 2 ** -11, 0x3c02],
    [2047.9999, 0x6800],
    [Number.POSITIVE_INFINITY, 0x7c00],
  ])("%d", (value, bits) => {
    expect(halfOf(value)).toBe(bits);
  });

  it("every half is itself again, NaN stays NaN", () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = halfValue(bits);
      if (Number.isNaN(value)) expect(halfValue(halfOf(value))).toBeNaN();
      else expect(halfOf(value)).toBe(bits);
    }
  });

  it("the nearest half is taken", () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true, min: -65000, max: 65000 }), (value) => {
        const bits = halfOf(value);
        const error = Math.abs(halfValue(bits) - value);
        for (const other of [bits - 1, bits + 1]) {
          const neighbour = halfValue(other & 0xffff);
          if (Number.isFinite(neighbour)) expect(error).toBeLessThanOrEqual(Math.abs(neighbour - value));
        }
      }),
    );
  });
});

describe.each([
  ["int8", 127],
  ["int4", 7],
] as const)("%s", (storage, steps) => {
  it("is within half a step of each block", () => {
    const floats = fc.array(fc.float({ noNaN: true, min: -1000, max: 1000 }), { minLength: 1, maxLength: 100 });
    fc.assert(
      fc.property(floats, (values) => {
        const { words, scales } = quantise(values, storage);
        const back = dequantise(words, scales, storage, values.length);
        for (const [i, value] of values.entries()) {
          const start = 32 * Math.floor(i / 32);
          const most = Math.max(...values.slice(start, start + 32).map(Math.abs));
          expect(Math.abs((back[i] ?? Number.NaN) - value)).toBeLessThanOrEqual((0.5001 * most) / steps + 1e-30);
        }
      }),
    );
  });

  it("keeps zeros and signs", () => {
    const values = [0, 1, -1, 0.5, -0.5, 0];
    const { words, scales } = quantise(values, storage);
    const back = dequantise(words, scales, storage, values.length);
    expect(Array.from(back, Math.sign)).toEqual(values.map(Math.sign));
  });
});
