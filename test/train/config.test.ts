// Run files: what they mean when nothing is said, and what is said when they are wrong.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { byteTokenizer } from "../../src/data/tokenizer.ts";
import { checkRun, loadRun, type RunConfig } from "../../src/train/config.ts";
import { bitsPerByte, textRunData } from "../../src/train/data.ts";
import { checkRunFile, loadRunFile } from "../../src/train/node/config.ts";
import { openRunData } from "../../src/train/node/data.ts";

const ARCHITECTURE =
  "architecture: {name: tiny, d_model: 8, vocab_size: 256, blocks: {m: {ffn: {type: mlp, d_ff: 8}}}, layers: m}";
const TEXT = "data: {type: text, files: a.txt}";
const TASK = "data: {type: task, task: induction_heads}";
const run = (...lines: string[]) => lines.join("\n");

/** Everything that is said about a run file, `line:column path: message; hint`. */
function complaints(text: string): string[] {
  const resolve = (reference: string) => {
    if (reference !== "base.yaml") throw new Error("no such file");
    return { file: "base.yaml", text: ARCHITECTURE.slice("architecture: ".length) };
  };
  return checkRun(text, { file: "run.yaml", resolve }).diagnostics.map(
    ({ line, column, path, message, hint }) =>
      `${line}:${column} ${path && `${path}: `}${message}${hint && `; ${hint}`}`,
  );
}

describe("a run file", () => {
  test("that says only what it must has sensible defaults", () => {
    const { architecture, ...config } = loadRun(run(ARCHITECTURE, TEXT, "steps: 10"), { file: "configs/first.yaml" });
    expect(architecture.name).toBe("tiny");
    expect(config).toEqual({
      name: "first",
      description: "",
      tokenizer: "bytes",
      data: {
        type: "text",
        files: ["a.txt"],
        field: "text",
        order: "random",
        validation: { fraction: 0.05, by: undefined, seed: 0 },
      },
      batch_size: 8,
      sequence_length: 256,
      accumulation: 1,
      budget: { steps: 10 },
      optimizer: { lr: 1e-3, betas: [0.9, 0.95], eps: 1e-8, weight_decay: 0.1, grad_clip: 1 },
      schedule: { type: "cosine", warmup_steps: 0, final_ratio: 0, decay_share: 0.2 },
      block_checkpointing: false,
      eval: { every: 200, batches: 16 },
      checkpoint: { every: 500, keep: 2 },
      sample: { prompt: "\n", tokens: 200, temperature: 0.8 },
      seed: 0,
      device: "auto",
      threads: undefined,
    });
  });

  test("keeps what it says, also beside defaults in the same section", () => {
    const config = loadRun(
      run(
        ARCHITECTURE,
        "name: other",
        "data: {type: jsonl, files: [a, b], field: content, order: shuffled, validation: {fraction: 0.2, by: chunks}}",
        "minutes: 1.5",
        "optimizer: {lr: 0.01}",
        "schedule: {type: wsd, warmup_steps: 5}",
        "sample: {top_k: 5}",
        "threads: 2",
      ),
    );
    expect(config.name).toBe("other");
    expect(config.data).toEqual({
      type: "jsonl",
      files: ["a", "b"],
      field: "content",
      order: "shuffled",
      validation: { fraction: 0.2, by: "chunks", seed: 0 },
    });
    expect(config.budget).toEqual({ minutes: 1.5 });
    expect(config.optimizer).toMatchObject({ lr: 0.01, weight_decay: 0.1 });
    expect(config.schedule).toEqual({ type: "wsd", warmup_steps: 5, final_ratio: 0, decay_share: 0.2 });
    expect(config.sample).toMatchObject({ top_k: 5, tokens: 200 });
    expect(config.threads).toBe(2);
  });

  test("can train on a task with parameters of its own", () => {
    const { data, tokenizer } = loadRun(
      run(ARCHITECTURE, "data: {type: task, task: mqar, parameters: {vocab_size: 64, kv_pairs: 2}}", "steps: 1"),
    );
    expect(tokenizer).toBeNull();
    expect(data.type === "task" && data.task).toMatchObject({ name: "mqar", vocabSize: 64, minimumLength: 8 });
  });
});

describe("is refused with place, reason and remedy:", () => {
  test.each<[string, string, string[]]>([
    ["nothing at all", "", ["null:null is empty; a run needs architecture, data, and steps or minutes"]],
    ["no mapping", "[1]", ["1:1 expected a mapping, found a list"]],
    ["all that is missing", "name: x", ["1:1 architecture is missing", "1:1 data is missing", "1:1 steps is missing"]],
    [
      "misspelt fields, once each",
      run(ARCHITECTURE, TEXT, "step: 10", "max_grad_norm: 3"),
      ['3:1 step: "step" is not a field of a run; did you mean "steps"?', expect.stringContaining("4:1 max_grad_norm")],
    ],
    [
      "misspelt fields of sections",
      run(ARCHITECTURE, TEXT, "steps: 1", "optimizer: {learning_rate: 1}"),
      ['4:13 optimizer.learning_rate: "learning_rate" is not a field of an optimizer; did you mean "lr"?'],
    ],
    ["a size of nothing", run(ARCHITECTURE, TEXT, "steps: 0"), ["3:8 steps: 0 is too small; steps is at least 1"]],
    [
      "two budgets",
      run(ARCHITECTURE, TEXT, "steps: 3", "minutes: 1"),
      ["4:10 minutes: steps and minutes are both given; a run has one of them"],
    ],
    [
      "a warm-up longer than the run",
      run(ARCHITECTURE, TEXT, "steps: 3", "schedule: {warmup_steps: 4}"),
      ["4:26 schedule.warmup_steps: the warm-up of 4 steps is longer than the run of 3"],
    ],
    [
      "one beta",
      run(ARCHITECTURE, TEXT, "steps: 3", "optimizer: {betas: [0.9]}"),
      ["4:13 optimizer.betas: betas holds 1; it takes at least 2"],
    ],
    [
      "an unknown kind of data",
      run(ARCHITECTURE, "data: {type: txt, files: a}", "steps: 3"),
      ['2:14 data.type: "txt" is not a data source; did you mean "text"?'],
    ],
    [
      "no kind of data",
      run(ARCHITECTURE, "data: {files: a}", "steps: 3"),
      ["2:1 data: type is missing; allowed: text, jsonl, task"],
    ],
    [
      "no files",
      run(ARCHITECTURE, "data: {type: text, files: []}", "steps: 3"),
      [expect.stringMatching(/^2:20 data.files: .*empty list/)],
    ],
    [
      "held-out files that are also to be divided",
      run(ARCHITECTURE, "data: {type: text, files: a, validation: {files: b, seed: 1}}", "steps: 3"),
      ["2:59 data.validation.seed: seed divides the data, but validation has files of its own"],
    ],
    [
      "an unknown task",
      run(ARCHITECTURE, "data: {type: task, task: induction}", "steps: 3"),
      [expect.stringContaining('2:26 data.task: "induction" is not a task; ')],
    ],
    [
      "a wrong parameter of a task",
      run(ARCHITECTURE, "data: {type: task, task: mqar, parameters: {kv_pairs: 0}}", "steps: 3"),
      ["2:55 data.parameters.kv_pairs: task mqar: kv_pairs is 0; allowed: an integer of at least 1"],
    ],
    [
      "a task with more tokens than the model",
      run(ARCHITECTURE, "data: {type: task, task: mqar}", "steps: 3"),
      ["2:26 data.task: the task has 8192 tokens, but tiny a vocab_size of 256"],
    ],
    [
      "sequences too short for the task",
      run(ARCHITECTURE, TASK, "steps: 3", "sequence_length: 2"),
      ["4:18 sequence_length: sequences of 2 are too short for induction_heads; at least 3"],
    ],
    [
      "text fields beside a task",
      run(ARCHITECTURE, TASK, "steps: 3", "tokenizer: bytes", "sample: {tokens: 1}"),
      [
        "4:12 tokenizer: tokenizer is for text; the data are a task",
        "5:1 sample: sample is for text; the data are a task",
      ],
    ],
    [
      "bytes for a model with fewer tokens",
      run(ARCHITECTURE.replace("256", "255"), TEXT, "steps: 3", "tokenizer: bytes"),
      ["4:12 tokenizer: bytes take a vocab_size of 256, but tiny has 255"],
    ],
    [
      "a misspelt task, whatever bytes would take",
      run(ARCHITECTURE.replace("256", "16"), "data: {type: task, task: party}", "steps: 3"),
      ['2:26 data.task: "party" is not a task; did you mean "parity"?'],
    ],
    [
      "sequences longer than learned positions",
      run(
        ARCHITECTURE.replace("blocks", "positions: {max_length: 64}, blocks"),
        TEXT,
        "steps: 3",
        "sequence_length: 65",
      ),
      ["4:18 sequence_length: sequences of 65 are longer than the model's 64 learned positions"],
    ],
    [
      "errors of an architecture in the file",
      run("architecture:", "  extends: base.yaml", "  d_mode: 8", TEXT, "steps: 3"),
      ['3:3 architecture.d_mode: "d_mode" is not a field of an architecture; did you mean "d_model"?'],
    ],
    [
      "an architecture that is not there",
      run("architecture: none.yaml", TEXT, "steps: 3"),
      ['1:15 architecture: cannot read "none.yaml": no such file'],
    ],
  ])("%s", (_, text, expected) => {
    expect(complaints(text)).toEqual(expected);
  });

  test("aliases that unfold into a huge file", () => {
    const levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"];
    for (let i = 1; i < 9; i++)
      levels.push(
        `a${i}: &a${i} [${Array(9)
          .fill(`*a${i - 1}`)
          .join(", ")}]`,
      );
    expect(complaints(run(...levels))).toEqual([expect.stringContaining("more than 50000 values")]);
  });

  test("an architecture by name where no files can be read", () => {
    const { diagnostics } = checkRun(run("architecture: a.yaml", TEXT, "steps: 3"));
    expect(diagnostics.map(({ message, hint }) => `${message}; ${hint}`)).toEqual([
      "other files cannot be read from here; write the architecture in this file",
    ]);
  });
});

describe("from disk", () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "hybraid-run-"));
    const fields = ARCHITECTURE.slice("architecture: ".length);
    await writeFile(join(directory, "tiny.yaml"), fields);
    await writeFile(
      join(directory, "run.yaml"),
      run(
        "architecture: tiny.yaml",
        "data: {type: text, files: '*.txt'}",
        "steps: 1",
        "sequence_length: 16",
        "batch_size: 2",
      ),
    );
    await writeFile(join(directory, "a.txt"), "the quick brown fox jumps over the lazy dog\n".repeat(20));
    await writeFile(join(directory, "b.txt"), "pack my box with five dozen liquor jugs\n".repeat(5));
    await writeFile(join(directory, "bad.yaml"), Uint8Array.of(0x61, 0xff));
  });
  afterAll(() => rm(directory, { recursive: true }));
  const opened = (change: Partial<RunConfig>) => {
    const { config } = loadRunFile(join(directory, "run.yaml"));
    return openRunData({ ...config, ...change }, directory);
  };

  test("a run is named after its file and finds its architecture beside it", () => {
    const { config, directory: found } = loadRunFile(join(directory, "run.yaml"));
    expect(config.name).toBe("run");
    expect(config.architecture.name).toBe("tiny");
    expect(found).toBe(directory);
  });

  test("a file that cannot be read is an error like any other", () => {
    const reason = (name: string) => checkRunFile(join(directory, name)).diagnostics[0]?.message;
    expect(reason("none.yaml")).toBe("cannot be read: no such file");
    expect(reason("bad.yaml")).toBe("cannot be read: it is not UTF-8 text");
    expect(reason(".")).toBe("cannot be read: it is a folder");
  });

  test("data are read, divided and cut to the run's shape", async () => {
    const data = await opened({});
    expect(data.trainingTokens).toBeGreaterThan(900);
    expect(data.heldOut?.bytes).toBe(data.heldOut?.tokens);
    expect((data.trainingTokens ?? 0) + (data.heldOut?.tokens ?? 0)).toBe(44 * 20 + 40 * 5);
    expect(data.training.next().tokens).toHaveLength(32);
    expect(data.evaluation[0]?.tokens).toHaveLength(32);
    const again = await opened({});
    expect(again.training.next()).toEqual((await opened({})).training.next());
    expect((await opened({ seed: 1 })).training.next()).not.toEqual(again.training.next());
    expect((await opened({ seed: 1 })).evaluation).toEqual(again.evaluation);
  });

  test("held-out files are not trained on, even where the training files take them in", async () => {
    const { config } = loadRunFile(join(directory, "run.yaml"));
    if (config.data.type === "task") throw new Error("not text");
    const data = await opened({ data: { ...config.data, validation: { files: ["b.txt"] } } });
    expect(data.trainingTokens).toBe(44 * 20);
    expect(data.heldOut?.tokens).toBe(40 * 5);
  });

  test("data that are too short, missing or of another vocabulary are named", async () => {
    await expect(opened({ sequence_length: 5000 })).rejects.toThrow("the training data: too short");
    await expect(opened({ sequence_length: 150 })).rejects.toThrow("the held-out data: too short");
    await expect(opened({ tokenizer: "none.json" })).rejects.toThrow("none.json: cannot be read: no such file");
    const { config } = loadRunFile(join(directory, "run.yaml"));
    if (config.data.type === "task") throw new Error("not text");
    const wide = { ...byteTokenizer(), name: "wide", vocabSize: 300 };
    const { data } = config;
    expect(() => textRunData(config, data, { tokenizer: wide, documents: [] })).toThrow(
      "tokenizer wide has 300 tokens, but tiny has a vocabulary of 256",
    );
  });

  test("a task is evaluated on examples that training does not see", async () => {
    const task = loadRun(run(ARCHITECTURE, TASK, "steps: 1", "batch_size: 2", "sequence_length: 9"));
    const data = await openRunData(task, directory);
    expect(data.evaluation).toHaveLength(16);
    expect(data.training.next()).not.toEqual(data.evaluation[0]);
    expect((await openRunData(task, directory)).evaluation).toEqual(data.evaluation);
  });
});

test("bits per byte: one nat a token, two bytes a token", () => {
  expect(bitsPerByte(Math.LN2, { tokens: 10, bytes: 20 })).toBe(0.5);
});
