// Schedules: warm-up, peak, end, and the shape between.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { learningRateFactor, type Schedule } from "../../src/train/schedule.ts";

const curve = (schedule: Schedule, steps: number) =>
  Array.from({ length: steps }, (_, step) => learningRateFactor(schedule, step, steps));
const types = ["constant", "cosine", "linear", "wsd"] as const;

describe.each(types)("%s", (type) => {
  test("rises linearly to the peak, falls no sooner, never rises again, and ends at the final ratio", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 200 }),
        fc.double({ min: 0, max: 0.9, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (steps, warmupShare, final_ratio) => {
          const warmup_steps = Math.floor(steps * warmupShare);
          const factors = curve({ type, warmup_steps, final_ratio }, steps);
          for (let i = 0; i < warmup_steps; i++) expect(factors[i]).toBeCloseTo((i + 1) / warmup_steps, 12);
          for (let i = warmup_steps; i < steps; i++) {
            expect(factors[i]).toBeLessThanOrEqual(i > warmup_steps ? Number(factors[i - 1]) : 1);
            expect(factors[i]).toBeGreaterThanOrEqual(type === "constant" ? 1 : final_ratio - 1e-12);
          }
          expect(factors.at(-1)).toBeCloseTo(type === "constant" ? 1 : final_ratio, 12);
        },
      ),
    );
  });

  test("stays at its end past the last step", () => {
    expect(learningRateFactor({ type, final_ratio: 0.1 }, 1000, 10)).toBeCloseTo(type === "constant" ? 1 : 0.1, 12);
  });
});

test("cosine is half-way in the middle, linear too", () => {
  expect(learningRateFactor({ type: "cosine" }, 49, 100)).toBeCloseTo(0.5, 12);
  expect(learningRateFactor({ type: "cosine" }, 24, 100)).toBeCloseTo((1 + Math.SQRT1_2) / 2, 12);
  expect(learningRateFactor({ type: "linear" }, 24, 100)).toBeCloseTo(0.75, 12);
});

test("WSD is at the peak until its decay, then falls in a straight line", () => {
  const factors = curve({ type: "wsd", warmup_steps: 2, decay_share: 0.4 }, 10);
  expect(factors.map((factor) => Number(factor.toFixed(12)))).toEqual([0.5, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0]);
});

test("a warm-up as long as the run leaves no decay", () => {
  expect(curve({ type: "cosine", warmup_steps: 4 }, 4)).toEqual([0.25, 0.5, 0.75, 1]);
});
