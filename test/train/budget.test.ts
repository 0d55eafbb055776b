// How minutes become steps.
import { describe, expect, it } from "vitest";
import { StepBudget } from "../../src/train/budget.ts";
import type { RunConfig } from "../../src/train/config.ts";

const config = (budget: RunConfig["budget"], every = 1_000_000): RunConfig =>
  ({ budget, accumulation: 1, eval: { every, batches: 1 } }) as RunConfig;

const NONE = { batches: 0, lastBatches: 0 };

/** Tells of steps that each take `seconds` until the number is settled; returns the step at which it was. */
function settle(budget: StepBudget, seconds: (step: number) => number): number {
  let run = 0;
  for (let step = 1; step < 100; step++) {
    run += seconds(step);
    if (budget.timed(step, seconds(step), run)) return step;
  }
  throw new Error("never settled");
}

describe("a budget of minutes", () => {
  it("is as many steps as fit, once the first steps are over", () => {
    const budget = new StepBudget(config({ minutes: 2 }), NONE);
    expect(settle(budget, () => 0.5)).toBe(13);
    expect(budget.total).toBe(240);
  });

  it("leaves out slow first steps and a step that was held up", () => {
    const budget = new StepBudget(config({ minutes: 2 }), NONE);
    settle(budget, (step) => (step <= 3 ? 2 : step === 8 ? 3 : 0.5));
    // 13 steps took 13.5 seconds; 106.5 are left.
    expect(budget.total).toBe(13 + 213);
  });

  it("sets time aside for evaluations", () => {
    const budget = new StepBudget(config({ minutes: 2 }, 10), { batches: 10, lastBatches: 20 });
    settle(budget, () => 0.5);
    // Ten forward passes take as long as 3.5 steps, after every tenth step and twice at the end.
    expect(budget.total).toBe(13 + Math.floor((120 - 6.5 - 3.5) / (0.5 + 0.175)));
  });

  it("is settled early where steps are long, and never less than what was done", () => {
    const budget = new StepBudget(config({ minutes: 1 }), NONE);
    expect(settle(budget, () => 4)).toBe(2);
    expect(budget.total).toBe(15);
    const short = new StepBudget(config({ minutes: 0.01 }), NONE);
    expect(settle(short, () => 4)).toBe(1);
    expect(short.total).toBe(1);
  });

  it("stays what an earlier session settled", () => {
    const budget = new StepBudget(config({ minutes: 2 }), NONE, 77);
    expect(budget.timed(20, 0.5, 10)).toBe(false);
    expect(budget.total).toBe(77);
  });
});

it("a budget of steps is known from the start", () => {
  const budget = new StepBudget(config({ steps: 5 }), NONE, 77);
  expect(budget.total).toBe(5);
  expect(budget.timed(1, 1, 1)).toBe(false);
});
