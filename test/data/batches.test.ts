// Batches: targets are the next tokens, orders cover what they promise, and a saved position resumes exactly.
import { describe, expect, test } from "vitest";
import { type Batch, type BatchPosition, evaluationBatches, textBatches } from "../../src/data/batches.ts";
import { Random } from "../../src/data/random.ts";

const tokens = Int32Array.from({ length: 101 }, (_, i) => 1000 + i);
const make = (order: "random" | "shuffled" | "sequential", data = tokens) =>
  textBatches(data, { batch: 3, length: 5, order, random: Random.fromSeed(1), name: "corpus" });
const starts = (batch: Batch, length = 5) =>
  Array.from({ length: batch.tokens.length / length }, (_, row) => (batch.tokens[row * length] ?? 0) - 1000);

describe.each(["random", "shuffled", "sequential"] as const)("%s windows", (order) => {
  test("are stretches of the data, with the next token as target", () => {
    const source = make(order);
    for (let i = 0; i < 50; i++) {
      const batch = source.next();
      expect(batch.tokens.length).toBe(15);
      for (const [row, start] of starts(batch).entries()) {
        expect(batch.tokens.subarray(row * 5, row * 5 + 5)).toEqual(tokens.subarray(start, start + 5));
        expect(batch.targets.subarray(row * 5, row * 5 + 5)).toEqual(tokens.subarray(start + 1, start + 6));
      }
    }
  });

  test("go on from a saved position, at the end of an epoch too", () => {
    for (const drawn of [0, 1, 6, 7, 20]) {
      const source = make(order);
      for (let i = 0; i < drawn; i++) source.next();
      const resumed = make(order);
      resumed.restore(JSON.parse(JSON.stringify(source.position())));
      for (let i = 0; i < 20; i++) expect(resumed.next()).toEqual(source.next());
    }
  });

  test("exist for the shortest data that hold one, and not for shorter", () => {
    expect(starts(make(order, tokens.slice(0, 6)).next())).toEqual([0, 0, 0]);
    expect(() => make(order, tokens.slice(0, 5))).toThrow(
      "corpus: too short: 5 tokens, but one window takes sequence_length + 1 = 6",
    );
  });

  test("refuse a position that is not theirs", () => {
    const source = make(order);
    const foreign: BatchPosition[] = [
      { order: order === "sequential" ? "shuffled" : "sequential", window: 0, epoch: 0 },
      { order, window: -1, epoch: 0, random: { ...Random.fromSeed(1).state(), used: 9 } } as BatchPosition,
      null as unknown as BatchPosition,
    ];
    for (const position of foreign) expect(() => source.restore(position)).toThrow("saved data position");
  });
});

test("shuffled windows cover the data once an epoch, in another order each time", () => {
  const source = textBatches(tokens, { batch: 1, length: 5, order: "shuffled", random: Random.fromSeed(3) });
  const epoch = () => {
    const seen: number[] = [];
    do seen.push(...starts(source.next()));
    while (seen.length < 19);
    return seen;
  };
  const first = epoch();
  expect(new Set(first.map((start) => start % 5)).size).toBe(1);
  expect(new Set(first).size).toBe(19);
  expect(first).not.toEqual([...first].sort((a, b) => a - b));
  expect(epoch()).not.toEqual(first);
});

test("sequential windows come in order and begin again", () => {
  const source = make("sequential");
  expect(starts(source.next())).toEqual([0, 5, 10]);
  for (let i = 0; i < 6; i++) source.next();
  expect(starts(source.next())).toEqual([5, 10, 15]);
});

test("random windows reach both ends of the data", () => {
  const source = make("random");
  const seen = new Set(Array.from({ length: 400 }, () => starts(source.next())).flat());
  expect(Math.min(...seen)).toBe(0);
  expect(Math.max(...seen)).toBe(95);
});

describe("evaluation windows", () => {
  test("fill the data without overlap", () => {
    const batches = evaluationBatches(tokens, { batch: 4, length: 5 });
    const all = batches.flatMap((batch) => starts(batch));
    expect(all).toEqual(Array.from({ length: 20 }, (_, i) => 5 * i));
  });

  test("are spread over the data where few are asked for", () => {
    const batches = evaluationBatches(tokens, { batch: 2, length: 5, batches: 2 });
    expect(batches.flatMap((batch) => starts(batch))).toEqual([0, 31, 63, 95]);
  });

  test("overlap in one batch where the data are short, and are refused where there is none", () => {
    const [only, ...rest] = evaluationBatches(tokens.slice(0, 8), { batch: 3, length: 5 });
    expect(rest).toEqual([]);
    expect(only && starts(only)).toEqual([0, 1, 2]);
    expect(() => evaluationBatches(tokens.slice(0, 5), { batch: 1, length: 5, name: "held-out data" })).toThrow(
      "held-out data: too short: 5 tokens",
    );
  });
});
