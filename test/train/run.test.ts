// A run in its folder: what it leaves, how it is stopped and taken up again, and what it refuses.
import { copyFile, mkdir, open, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FileWriteError } from "../../src/formats/node/atomic-file.ts";
import { loadModel } from "../../src/model/node/files.ts";
import type { MetricsRecord } from "../../src/train/metrics.ts";
import { listCheckpoints, readLatest, saveCheckpoint } from "../../src/train/node/checkpoints.ts";
import { loadRunFile } from "../../src/train/node/config.ts";
import { readMetrics } from "../../src/train/node/metrics.ts";
import { type RunFolderOptions, trainInFolder } from "../../src/train/node/run.ts";
import { chooseFolder, folderName } from "../../src/train/node/run-folder.ts";
import type { RunOutcome } from "../../src/train/run.ts";
import { streamLoss } from "../../src/train/stream-loss.ts";
import { configOf, lossesOf, makeRun } from "./tiny-run.ts";

let home: string;
beforeEach(async () => {
  home = await makeRun();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(home, { recursive: true });
});

const out = (name = "out"): string => join(home, name);
const train = (
  changes: Record<string, string | undefined> = {},
  options: Partial<RunFolderOptions> = {},
): Promise<RunOutcome> =>
  trainInFolder({ config: configOf(home, changes), directory: home }, { folder: out(), ...options });

/** A signal that comes during a step, and the observer that sends it. */
function stopAfter(step: number): Pick<RunFolderOptions, "signal" | "observer"> {
  const controller = new AbortController();
  const observer = { step: (record: { step: number }) => void (record.step === step && controller.abort()) };
  return { signal: controller.signal, observer };
}

describe("a run", () => {
  it("leaves a model, its description, checkpoints, metrics and a plot", async () => {
    const outcome = await train();
    expect(outcome).toMatchObject({ status: "finished", step: 12, total: 12 });
    expect((await readdir(out())).sort()).toEqual(
      ["architecture.yaml", "checkpoints", "loss.svg", "metrics.jsonl", "model.safetensors", "run.yaml"].sort(),
    );
    expect((await listCheckpoints(out("out/checkpoints"))).map(({ step }) => step)).toEqual([12, 8]);
    expect(await readFile(out("out/loss.svg"), "utf8")).toContain("<svg");
    const records = await readMetrics(out("out/metrics.jsonl"));
    expect(records.filter(({ kind }) => kind === "train").map(({ step }) => step)).toEqual(
      Array.from({ length: 12 }, (_, i) => i + 1),
    );
    const evaluations = records.filter((record) => record.kind === "evaluation");
    expect(evaluations.map(({ step }) => step)).toEqual([4, 8, 12]);
    expect(outcome.evaluation).toEqual(evaluations[2]);
    expect(evaluations[2]?.loss).toBeLessThan(evaluations[0]?.loss ?? 0);
  });

  it("can be read and trained again from what it wrote of itself", async () => {
    await train();
    const again = loadRunFile(out("out/run.yaml"));
    const { config } = loadRunFile(join(home, "run.yaml"));
    const files = { ...config.data, files: ["../text.txt"] };
    expect(again.config).toEqual({ ...config, architecture: again.config.architecture, data: files });
    await trainInFolder(again, { folder: out("again") });
    expect(await lossesOf(out("again"))).toEqual(await lossesOf(out()));
  });

  it("ends with the weights that its model file holds, and reads the held-out text as one stream", async () => {
    const { evaluation } = await train({ steps: "4" });
    const model = await loadModel(out(), { threads: 1 });
    const latest = await readLatest(out("out/checkpoints"));
    for (const [name, { data }] of await model.weights()) {
      expect(data).toEqual(latest?.checkpoint.groups.weights?.get(name)?.data);
    }
    const text = new Uint8Array(await readFile(join(home, "text.txt"))).subarray(0, 600);
    const streamed = await streamLoss(model, text);
    const { logits } = await model.forward(text.subarray(0, -1));
    let expected = 0;
    for (let t = 0; t + 1 < text.length; t++) {
      const row = logits.subarray(256 * t, 256 * (t + 1));
      const total = row.reduce((sum, x) => sum + Math.exp(x), 0);
      expected -= (row[text[t + 1] ?? 0] ?? 0) - Math.log(total);
    }
    expect(streamed).toBeCloseTo(expected / (text.length - 1), 4);
    expect(evaluation?.streamed_bits_per_byte).toBeGreaterThan(0);
    await model.close();
  });

  it("follows its schedule", async () => {
    await train({ schedule: "{type: cosine, warmup_steps: 3}" });
    const rates = (await readMetrics(out("out/metrics.jsonl"))).flatMap((record) =>
      record.kind === "train" ? [record.learning_rate] : [],
    );
    expect(rates[0]).toBeCloseTo(0.01 / 3, 12);
    expect(rates[2]).toBeCloseTo(0.01, 12);
    expect(rates[11]).toBeCloseTo(0, 12);
  });

  it("on a task says the accuracy", async () => {
    const { evaluation } = await train({
      architecture: "{extends: architecture.yaml, vocab_size: 16}",
      data: "{type: task, task: induction_heads}",
      sample: undefined,
      steps: "2",
    });
    expect(evaluation?.accuracy).toBeGreaterThanOrEqual(0);
    expect(evaluation?.bits_per_byte).toBeUndefined();
  });
});

describe("a run that was stopped", () => {
  it("goes on to the same losses, bit by bit, wherever it stopped", async () => {
    await train();
    const expected = await lossesOf(out());
    for (const step of [1, 4, 7]) {
      const folder = out(`stopped-${step}`);
      const first = await train({}, { folder, ...stopAfter(step) });
      expect(first).toMatchObject({ status: "interrupted", step });
      const kept = (await readLatest(join(folder, "checkpoints")))?.checkpoint.run as { seconds: number };
      const second = await train({}, { folder, resume: true });
      expect(second).toMatchObject({ status: "finished", step: 12 });
      // The clock goes on from the checkpoint's.
      expect(kept.seconds).toBeGreaterThan(0);
      expect(second.seconds).toBeGreaterThan(kept.seconds);
      expect(await lossesOf(folder)).toEqual(expected);
      expect(await readFile(join(folder, "model.safetensors"))).toEqual(await readFile(out("out/model.safetensors")));
    }
  });

  it("goes on from the last checkpoint where later steps were lost", async () => {
    await train();
    const expected = await lossesOf(out());
    await rm((await listCheckpoints(out("out/checkpoints")))[0]?.path ?? "");
    await train({}, { resume: true });
    expect(await lossesOf(out())).toEqual(expected);
  });

  it("keeps the number of steps that its minutes were found to be", async () => {
    const rarely = "{every: 1000}";
    // A constant rate: a schedule that falls is followed from the step on which the number of steps was settled.
    const changes = {
      steps: undefined,
      minutes: "0.01",
      schedule: "{type: constant, warmup_steps: 1}",
      eval: rarely,
      checkpoint: rarely,
    };
    const first = await train(changes, stopAfter(14));
    const total = first.total ?? 0;
    expect(total).toBeGreaterThanOrEqual(first.step);
    const second = await train(changes, { resume: true });
    expect(second).toMatchObject({ status: "finished", step: total, total });
    // The same number as a budget of steps gives the same losses.
    await train({ ...changes, minutes: undefined, steps: String(total) }, { folder: out("steps") });
    expect(await lossesOf(out())).toEqual(await lossesOf(out("steps")));
  });

  it("may be given more steps and another rate", async () => {
    await train({ steps: "4" });
    const outcome = await train({ steps: "8", optimizer: "{lr: 0.001}" }, { resume: true });
    expect(outcome).toMatchObject({ status: "finished", step: 8 });
    expect(loadRunFile(out("out/run.yaml")).config.budget).toEqual({ steps: 8 });
  });

  it("begins anew where nothing was saved", async () => {
    const outcome = await train({ steps: "2" }, { resume: true });
    expect(outcome).toMatchObject({ status: "finished", step: 2 });
  });
});

describe("on a full disk", () => {
  /** From now on, writes to files whose path ends like this fail. */
  async function refuseWrites(after: number): Promise<void> {
    const handle = await open(out("probe"), "w");
    const prototype = Object.getPrototypeOf(handle);
    await handle.close();
    const write = prototype.write;
    let left = after;
    vi.spyOn(prototype, "write").mockImplementation(async function (this: unknown, ...args: unknown[]) {
      left -= (args[0] as Uint8Array).byteLength;
      if (left < 0) throw Object.assign(new Error("ENOSPC: write"), { code: "ENOSPC", syscall: "write" });
      return write.apply(this, args);
    });
  }

  it("a run ends with a message, and its last good checkpoint is as it was", async () => {
    await train({}, stopAfter(4));
    const [before] = await listCheckpoints(out("out/checkpoints"));
    const bytes = await readFile(before?.path ?? "");
    await refuseWrites(30_000);
    const error = await train({}, { resume: true }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(FileWriteError);
    expect(String(error)).toContain("cannot be written: no space left on the disk");
    vi.restoreAllMocks();
    const [after] = await listCheckpoints(out("out/checkpoints"));
    expect(after?.path).toBe(before?.path);
    expect(await readFile(after?.path ?? "")).toEqual(bytes);
    expect((await train({}, { resume: true })).status).toBe("finished");
  });
});

describe("a run is refused", () => {
  const refusal = (changes: Record<string, string | undefined>, options: Partial<RunFolderOptions> = {}) =>
    train(changes, options).then(
      () => "accepted",
      (error: Error) => error.message,
    );

  it("by a folder that holds a run, unless it goes on with it", async () => {
    await train({ steps: "1" });
    expect(await refusal({})).toContain("out: holds a run already");
  });

  it("by a folder that holds something else, which stays as it is", async () => {
    await mkdir(out());
    await writeFile(out("out/letter.txt"), "dear");
    expect(await refusal({})).toContain("not empty, and without run.yaml, so not a run's");
    expect(await readdir(out())).toEqual(["letter.txt"]);
    expect(await refusal({}, { folder: join(home, "text.txt") })).toContain("text.txt: not a folder");
  });

  it.each([
    ["batch size", { batch_size: "4" }, "batch_size is 2 there and 4 here"],
    ["seed", { seed: "3" }, "seed is 0 there and 3 here"],
    ["data", { data: "{type: text, files: architecture.yaml}" }, "data is {"],
    [
      "architecture",
      { architecture: "{extends: architecture.yaml, d_model: 32}" },
      /architecture is tiny \(hash \w+\) there and tiny \(hash \w+\) here/,
    ],
  ])("by the folder of a run with another %s", async (_, changes, message) => {
    await train({ steps: "1" });
    const before = await readFile(out("out/run.yaml"), "utf8");
    expect(await refusal(changes, { resume: true })).toMatch(message);
    expect(await readFile(out("out/run.yaml"), "utf8")).toBe(before);
  });

  it("when its data have changed since", async () => {
    await train({ steps: "1" });
    await writeFile(join(home, "text.txt"), "something else ".repeat(100));
    expect(await refusal({}, { resume: true })).toContain("the data of run run have changed");
  });

  it("when the checkpoint that it finds is another model's", async () => {
    await train({ steps: "1" });
    await train({ architecture: "{extends: architecture.yaml, d_model: 32}", steps: "2" }, { folder: out("other") });
    const [foreign] = await listCheckpoints(out("other/checkpoints"));
    await copyFile(foreign?.path ?? "", out("out/checkpoints/step-00000002.safetensors"));
    expect(await refusal({}, { resume: true })).toContain("belongs to another architecture");
  });
});

it("a value that is not finite ends a run, the checkpoint before it stays", async () => {
  await train({}, stopAfter(4));
  const latest = await readLatest(out("out/checkpoints"));
  if (latest === undefined) throw new Error("no checkpoint");
  const [name, weight] = [...(latest.checkpoint.groups.weights ?? [])][2] ?? ["", undefined];
  const values = weight?.data as Float32Array;
  values[0] = Number.POSITIVE_INFINITY;
  await saveCheckpoint(out("out/checkpoints"), latest.checkpoint);
  await expect(train({}, { resume: true })).rejects.toThrow(new RegExp(`^step 5: .* is NaN \\(not finite: ${name}`));
  expect((await listCheckpoints(out("out/checkpoints")))[0]?.step).toBe(4);
  const records: MetricsRecord[] = await readMetrics(out("out/metrics.jsonl"));
  expect(records.at(-1)?.step).toBe(4);
});

describe("the folder of a run that names none", () => {
  it("is called like the run, with a number where that is taken", async () => {
    const config = configOf(home);
    expect(await chooseFolder(home, config, false)).toBe(join(home, "run"));
    expect(await chooseFolder(home, config, true)).toBe(join(home, "run"));
    for (const name of ["run", "run-2"]) {
      await mkdir(join(home, name));
      await writeFile(join(home, name, "run.yaml"), "");
    }
    expect(await chooseFolder(home, config, false)).toBe(join(home, "run-3"));
    expect(await chooseFolder(home, config, true)).toBe(join(home, "run-2"));
  });

  it("lies where runs are, whatever the run is called", () => {
    const config = configOf(home);
    expect(folderName({ ...config, name: "../../etc/x y" })).toBe("etc-x-y");
    expect(folderName({ ...config, name: ".." })).toBe("run");
    expect(folderName({ ...config, name: "größer_1.5b" })).toBe("größer_1.5b");
  });
});
