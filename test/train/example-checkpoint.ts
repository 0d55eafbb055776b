// A checkpoint whose every value follows from its step, so that a mixture of two would be noticed.
import { Random } from "../../src/data/random.ts";
import type { Checkpoint } from "../../src/train/checkpoint.ts";

export function exampleCheckpoint(step: number, size = 1000): Checkpoint {
  const tensor = (value: number) => ({
    dtype: "F32" as const,
    shape: [size],
    data: new Float32Array(size).fill(value),
  });
  return {
    step,
    specHash: "abc",
    random: { data: Random.fromSeed(step).state() },
    data: { order: "sequential", window: step },
    run: { note: `step ${step}` },
    groups: {
      weights: new Map([
        ["a.weight", tensor(step)],
        ["b", tensor(-step)],
      ]),
      first_moment: new Map([["a.weight", tensor(step / 2)]]),
    },
  };
}
