// The record of a run: what is appended is read back, a kill in mid-line loses that line only, resuming cuts back.
import { appendFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FileWriteError } from "../../src/formats/node/atomic-file.ts";
import { lossPlot, type MetricsRecord, parseMetrics, smooth } from "../../src/train/metrics.ts";
import { openMetrics, readMetrics } from "../../src/train/node/metrics.ts";

const train = (step: number, loss = 3 / step): MetricsRecord => ({
  kind: "train",
  step,
  loss,
  learning_rate: 1e-3,
  gradient_norm: 1,
  tokens_per_second: 1000,
  seconds: step,
});
const evaluation = (step: number): MetricsRecord => ({ kind: "evaluation", step, loss: 2 / step, seconds: step });

describe("metrics.jsonl", () => {
  let directory: string;
  let path: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "hybraid-metrics-"));
    path = join(directory, "metrics.jsonl");
  });
  afterEach(() => rm(directory, { recursive: true }));

  const append = async (step: number, ...records: MetricsRecord[]) => {
    const writer = await openMetrics(path, step);
    for (const record of records) await writer.append(record);
    await writer.close();
  };

  test("gives back what was appended, one object a line", async () => {
    await append(0, train(1), evaluation(1));
    expect(await readMetrics(path)).toEqual([train(1), evaluation(1)]);
    expect((await readFile(path, "utf8")).split("\n")).toHaveLength(3);
    expect(await readMetrics(join(directory, "none.jsonl"))).toEqual([]);
  });

  test("goes on after a step, without what came later or was cut short", async () => {
    await append(0, train(1), train(2), evaluation(2), train(3));
    await appendFile(path, '{"kind":"train","st');
    expect(await readMetrics(path)).toHaveLength(4);
    await append(2, train(3, 9));
    expect(await readMetrics(path)).toEqual([train(1), train(2), evaluation(2), train(3, 9)]);
    await append(0, train(1));
    expect(await readMetrics(path)).toEqual([train(1)]);
  });

  test("keeps a loss that is not a number as such", async () => {
    await append(0, train(1, Number.NaN));
    expect(await readMetrics(path)).toEqual([train(1, Number.NaN)]);
  });

  test("that cannot be written is named with the reason", async () => {
    await expect(openMetrics(join(directory, "none", "m.jsonl"))).rejects.toThrow(FileWriteError);
  });

  test.each(["{", "[]", "null", '{"kind":"other","step":1,"loss":1}', '{"kind":"train","step":1.5,"loss":1}'])(
    "with the line %s is refused by place",
    (line) => {
      expect(() => parseMetrics(`${JSON.stringify(train(1))}\n${line}\n`, "x.jsonl")).toThrow(
        "x.jsonl:2: not a record",
      );
    },
  );
});

test("smoothing keeps a constant, starts at the first value and passes over gaps", () => {
  expect(
    smooth(
      [
        [1, 4],
        [2, 4],
        [3, 4],
      ],
      5,
    ),
  ).toEqual([
    [1, 4],
    [2, 4],
    [3, 4],
  ]);
  const [first, second] = smooth(
    [
      [1, 0],
      [2, Number.NaN],
      [3, 1],
    ],
    1,
  );
  expect(first).toEqual([1, 0]);
  expect(second?.[0]).toBe(3);
  expect(second?.[1]).toBeCloseTo(1 / (1 + Math.exp(-1)), 12);
});

test("the loss plot shows training, its smoothing and evaluations", () => {
  const svg = lossPlot([train(1), train(2), evaluation(2), train(3)], "run <1>");
  for (const text of ["run &lt;1&gt;", "training, smoothed", "held-out", "loss (nats per token)"])
    expect(svg).toContain(text);
  expect(lossPlot([], "empty")).toContain("no data");
});
