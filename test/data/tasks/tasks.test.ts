// Synthetic tasks: an exact solver, written here from the task's definition alone, must score 100% on fresh examples
// of every size; what it cannot know must not be scored; wrong parameters are refused by name.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { accuracy, argmax, countCorrect } from "../../../src/data/accuracy.ts";
import { type Batch, IGNORED_TARGET } from "../../../src/data/batches.ts";
import { DataError } from "../../../src/data/error.ts";
import { Random } from "../../../src/data/random.ts";
import { createTask, TASKS, type Task, taskBatches } from "../../../src/data/tasks/index.ts";

/** Solves one row causally: given tokens up to and including t, what should be said at t (or nothing). */
type Solver = (seen: readonly number[], task: Task, length: number) => number | undefined;

const solvers: Record<string, Solver> = {
  selective_copying: (seen, task) => {
    const copy = task.vocabSize - 1;
    const blank = task.vocabSize - 2;
    const asked = seen.indexOf(copy);
    if (asked < 0 || seen.length === asked + 1) return undefined;
    return seen.slice(0, asked).filter((token) => token !== blank)[seen.length - asked - 2];
  },
  induction_heads: (seen, task) => {
    const special = task.vocabSize - 1;
    const first = seen.indexOf(special);
    const repeated = seen.at(-1) === special && first < seen.length - 1;
    return repeated ? seen[first + 1] : undefined;
  },
  mqar: (seen, task) => {
    const context = 2 * Number(task.parameters.kv_pairs);
    const at = seen.length - 1;
    if (at < context || at % 2 === 1) return undefined;
    for (let i = 0; i < context; i += 2) if (seen[i] === seen[at]) return seen[i + 1];
    return undefined;
  },
  noisy_recall: (seen) => {
    const at = seen.length - 1;
    if (at % 2 === 1) return undefined;
    for (let i = 0; i < at; i += 2) if (seen[i] === seen[at]) return seen[i + 1];
    return undefined;
  },
  parity: (seen) => seen.reduce((ones, bit) => ones + bit, 0) % 2,
};

function solve(task: Task, { tokens }: Batch, length: number): Int32Array {
  const solver = solvers[task.name];
  if (solver === undefined) throw new Error(`no solver for ${task.name}`);
  return Int32Array.from(tokens, (_, i) => {
    const start = i - (i % length);
    return solver([...tokens.subarray(start, i + 1)], task, length) ?? -1;
  });
}

const settings: [string, Record<string, unknown>][] = [
  ["selective_copying", {}],
  ["selective_copying", { tokens_to_copy: 3, vocab_size: 3 }],
  ["selective_copying", { selective: false, tokens_to_copy: 4 }],
  ["induction_heads", {}],
  ["induction_heads", { repeats: 5, vocab_size: 3 }],
  ["mqar", { vocab_size: 64, kv_pairs: 4 }],
  ["mqar", { vocab_size: 20, kv_pairs: 9, power: 1, random_filler: false }],
  ["noisy_recall", {}],
  ["noisy_recall", { noise: 0, noise_vocab_size: 0, vocab_size: 5 }],
  ["noisy_recall", { noise: 0.9 }],
  ["parity", {}],
  ["parity", { scored: "last" }],
];

test("every task is tried here", () => {
  expect(new Set(settings.map(([name]) => name))).toEqual(new Set(TASKS.keys()));
});

describe.each(settings)("%s %j", (name, parameters) => {
  const task = createTask(name, parameters);
  const lengths = [task.minimumLength, task.minimumLength + 1, task.minimumLength + 2, 64, 129];

  test.each(lengths.filter((length) => length >= task.minimumLength))("is solved exactly at length %d", (length) => {
    const batch = task.generate(Random.fromSeed(length), 50, length);
    expect(batch.tokens.length).toBe(50 * length);
    expect(batch.tokens.every((token) => token >= 0 && token < task.vocabSize)).toBe(true);
    const counts = countCorrect(solve(task, batch, length), batch.targets, length);
    expect(counts.rowsScored).toBe(50);
    expect(counts.correct).toBe(counts.scored);
    expect(counts.rowsCorrect).toBe(50);
  });

  test("scores neither guessing nor a constant at 100%", () => {
    const { targets } = task.generate(Random.fromSeed(9), 200, 80);
    const guess = Random.fromSeed(10);
    expect(
      accuracy(
        targets.map(() => guess.integer(0, task.vocabSize)),
        targets,
      ),
    ).toBeLessThan(0.75);
    const common = targets.find((target) => target !== IGNORED_TARGET) ?? 0;
    if (task.vocabSize > 3)
      expect(
        accuracy(
          targets.map(() => common),
          targets,
        ),
      ).toBeLessThan(0.75);
  });

  test("is the same for the same seed, resumes exactly, and gives ever new examples", () => {
    const source = taskBatches(task, { batch: 4, length: 70, random: Random.fromSeed(3) });
    const first = source.next();
    const position = JSON.parse(JSON.stringify(source.position()));
    const second = source.next();
    expect(second.tokens).not.toEqual(first.tokens);
    const again = taskBatches(task, { batch: 4, length: 70, random: Random.fromSeed(3) });
    expect(again.next()).toEqual(first);
    again.restore(position);
    expect(again.next()).toEqual(second);
    expect(() => again.restore({ order: "sequential", window: 0 })).toThrow("is not one of task data");
  });

  test("refuses sequences that are too short", () => {
    expect(() => task.generate(Random.fromSeed(0), 1, task.minimumLength - 1)).toThrow(
      `task ${name}: a sequence of ${task.minimumLength - 1} is too short; at least ${task.minimumLength}`,
    );
    const options = { batch: 1, length: task.minimumLength - 1, random: Random.fromSeed(0) };
    expect(() => taskBatches(task, options)).toThrow(DataError);
  });
});

describe("the shape of each task", () => {
  const rows = (task: Task, length: number, count = 200): Batch[] => {
    const random = Random.fromSeed(4);
    return Array.from({ length: count }, () => task.generate(random, 1, length));
  };
  const scored = (targets: Int32Array) => [...targets.keys()].filter((i) => targets[i] !== IGNORED_TARGET);

  test("selective copying: as many tokens as asked, scored after the copy token, placed anywhere before it", () => {
    const task = createTask("selective_copying", { tokens_to_copy: 2, vocab_size: 8 });
    const places = new Set<number>();
    for (const { tokens, targets } of rows(task, 20)) {
      expect(tokens[17]).toBe(7);
      expect(scored(targets)).toEqual([18, 19]);
      const data = [...tokens.keys()].filter((i) => (tokens[i] ?? 0) < 6);
      expect(data.length).toBe(2);
      for (const place of data) places.add(place);
    }
    expect(places).toEqual(new Set(Array.from({ length: 17 }, (_, i) => i)));
  });

  test("induction heads: the special token stands at the end and once before, its successor is the answer", () => {
    const places = new Set<number>();
    for (const { tokens, targets } of rows(createTask("induction_heads"), 16)) {
      const special = [...tokens.keys()].filter((i) => tokens[i] === 15);
      expect(special.length).toBe(2);
      expect(special[1]).toBe(15);
      expect(scored(targets)).toEqual([15]);
      places.add(special[0] ?? -1);
    }
    expect(places).toEqual(new Set(Array.from({ length: 14 }, (_, i) => i)));
  });

  test("MQAR: keys differ, lie under the values, and each is asked for once; short distances are favoured", () => {
    const task = createTask("mqar", { vocab_size: 64, kv_pairs: 4 });
    let near = 0;
    for (const { tokens, targets } of rows(task, 64)) {
      const keys = [0, 2, 4, 6].map((i) => tokens[i] ?? 0);
      expect(new Set(keys).size).toBe(4);
      for (const key of keys) expect(key > 0 && key < 32).toBe(true);
      for (const i of [1, 3, 5, 7]) expect(tokens[i]).toBeGreaterThanOrEqual(32);
      const queries = scored(targets);
      expect(queries.map((i) => tokens[i]).sort()).toEqual([...keys].sort());
      near += queries.filter((i) => i < 8 + 14).length;
    }
    expect(near / 800).toBeGreaterThan(0.5); // a quarter of the slots; uniform distances would give 0.25
  });

  test("noisy recall: the wanted share of noise, and the last pair always asks", () => {
    const task = createTask("noisy_recall", { noise: 0.4 });
    let noise = 0;
    for (const { tokens, targets } of rows(task, 64)) {
      expect(targets[62]).toBe(tokens[63]);
      noise += tokens.filter((token) => token >= 16).length / 64 / 200;
    }
    expect(noise).toBeCloseTo(0.4 * (30 / 32), 1);
  });

  test("parity: every prefix is scored, or the whole", () => {
    const [row] = rows(createTask("parity"), 8, 1);
    expect(row && scored(row.targets)).toHaveLength(8);
    const [last] = rows(createTask("parity", { scored: "last" }), 8, 1);
    expect(last && scored(last.targets)).toEqual([7]);
  });
});

test.each([
  [
    "induction",
    {},
    '"induction" is not a task; allowed: selective_copying, induction_heads, mqar, noisy_recall, parity',
  ],
  ["parity", { bits: 2 }, 'task parity: "bits" is no parameter; allowed: scored'],
  ["parity", { scored: "first" }, 'scored is "first"; allowed: every, last'],
  ["mqar", { vocab_size: 3 }, "vocab_size is 3; allowed: an integer of at least 4"],
  ["mqar", { vocab_size: 16.5 }, "vocab_size is 16.5; allowed: an integer of at least 4"],
  ["mqar", { power: 2 }, "power is 2; allowed: a number from 0.001 to 1"],
  ["mqar", { vocab_size: 16, kv_pairs: 8 }, "task mqar: kv_pairs is 8, but a vocab_size of 16 has 7 keys"],
  ["mqar", { random_filler: 1 }, "random_filler is 1; allowed: true or false"],
  ["selective_copying", { tokens_to_copy: "3" }, 'tokens_to_copy is "3"; allowed: an integer of at least 1'],
  ["noisy_recall", { vocab_size: 17 }, "noise_vocab_size is 16; of a vocab_size of 17, 2 must be left"],
  ["noisy_recall", { noise_vocab_size: 0 }, "noise is 0.2, but noise_vocab_size is 0"],
])("task %s with %j is refused", (name, parameters, message) => {
  expect(() => createTask(name, parameters)).toThrow(DataError);
  expect(() => createTask(name, parameters)).toThrow(message);
});

describe("accuracy", () => {
  test("counts scored positions only, by position and by row", () => {
    const targets = Int32Array.of(-100, 3, 4, 5, -100, -100);
    expect(countCorrect([9, 3, 9, 5, 9, 9], targets, 3)).toEqual({
      correct: 2,
      scored: 3,
      rowsCorrect: 1,
      rowsScored: 2,
    });
    expect(accuracy([9, 3, 9, 5, 9, 9], targets)).toBeCloseTo(2 / 3);
    expect(accuracy([0], [IGNORED_TARGET])).toBeNaN();
    expect(() => accuracy([1], targets)).toThrow("1 predictions for 6 targets");
  });

  test("takes the first of the largest logits", () => {
    expect(argmax([1, 3, 3, -2, -1, -5], 3)).toEqual(Int32Array.of(1, 1));
    fc.assert(
      fc.property(fc.array(fc.float({ noNaN: true }), { minLength: 4, maxLength: 4 }), (row) => {
        expect(row[argmax(row, 4)[0] ?? -1]).toBe(Math.max(...row));
      }),
    );
  });
});
