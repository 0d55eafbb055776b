// hybraid train and hybraid generate as a user has them: what is printed, what is left, and what happens when a run is
// killed, interrupted, or given what it can't use.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { register as generate } from "../../src/cli/generate.ts";
import { register as inspect } from "../../src/cli/inspect.ts";
import { register as train } from "../../src/cli/train.ts";
import { readLatest } from "../../src/train/node/checkpoints.ts";
import { readMetrics } from "../../src/train/node/metrics.ts";
import { lossesOf, makeRun, runText } from "../train/tiny-run.ts";
import { type Ran, runHere } from "./run.ts";

const hybraid = (...args: string[]): Promise<Ran> => runHere([train, generate, inspect], ...args);

let home: string;
let config: string;
beforeAll(async () => {
  home = await makeRun();
  config = join(home, "run.yaml");
});
afterAll(() => rm(home, { recursive: true }));

const out = (name: string): string => join(home, name);

describe("hybraid train", () => {
  it("tells how it goes, writes a sample, and says where things are and what to do next", async () => {
    const { stdout, stderr, code } = await hybraid("train", config, "--out", out("plain"));
    expect(code).toBe(0);
    expect(stderr).toMatch(/^run: [\d,]+ parameters\n {2}WebAssembly, 1 thread/);
    expect(stderr).toMatch(/12 steps of 32 tokens each, [\d.]+ \w+ of working memory/);
    expect(stderr).toMatch(/step 12\/12 {2}loss \d\.\d{3} {2}[\d,]+ tokens\/s {2}0:00 left/);
    expect(stderr).toMatch(/step 8 {2}held-out loss \d\.\d{3}, \d\.\d{3} bits per byte\n/);
    expect(stdout).toMatch(/── a sample ─+\na.{1,8}\n─+\n/s);
    expect(stdout).toMatch(/Trained 12 steps in 0:\d\d\.\nHeld-out text read as one stream: \d\.\d{3} bits per byte/);
    for (const name of ["model.safetensors", "metrics.jsonl", "loss.svg", "checkpoints"]) {
      expect(stdout).toContain(join(out("plain"), name));
      expect(existsSync(join(out("plain"), name))).toBe(true);
    }
    expect(stdout).toContain(`generate ${out("plain")} --prompt a`);
    expect(stdout).toContain(`train ${out("plain")} --resume --steps 24`);
  });

  it("--json gives one object, and the options change the run", async () => {
    const { stdout, code } = await hybraid(
      "train",
      config,
      "--out",
      out("json"),
      "--json",
      "--steps",
      "3",
      "--seed",
      "5",
    );
    expect(code).toBe(0);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ name: "run", folder: out("json"), status: "finished", step: 3, total: 3 });
    expect(report.evaluation).toMatchObject({ kind: "evaluation", step: 3 });
    expect(report.sample.length).toBeGreaterThan(0);
    const saved = await readFile(join(out("json"), "run.yaml"), "utf8");
    expect(saved).toContain("seed: 5");
    expect(saved).toContain("steps: 3");
  });

  it("goes on with a run from its folder alone", async () => {
    await hybraid("train", config, "--out", out("parts"), "--steps", "4", "--json");
    const { stderr, code } = await hybraid("train", out("parts"), "--resume", "--steps", "6", "--json");
    expect(code).toBe(0);
    expect(stderr).toContain("going on from step 4");
    const steps = (await readMetrics(join(out("parts"), "metrics.jsonl"))).filter(({ kind }) => kind === "train");
    expect(steps.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it("writes text with a vocabulary padded beyond the tokenizer's", async () => {
    const changes = { architecture: "{extends: architecture.yaml, vocab_size: 4096}", sample: "{tokens: 20}" };
    await writeFile(out("padded.yaml"), runText(changes));
    const trained = await hybraid("train", out("padded.yaml"), "--out", out("padded"), "--steps", "1", "--json");
    expect(trained.code).toBe(0);
    const args = ["--prompt", "a", "--max-tokens", "20", "--json"];
    const { tokens } = JSON.parse((await hybraid("generate", out("padded"), ...args)).stdout);
    expect(Math.max(...tokens)).toBeLessThan(256);
  });

  it("may be shorter than its warm-up", async () => {
    await writeFile(out("warm.yaml"), runText({ schedule: "{warmup_steps: 10}" }));
    const { code } = await hybraid("train", out("warm.yaml"), "--out", out("warm"), "--steps", "2", "--json");
    expect(code).toBe(0);
    expect((await hybraid("train", out("warm"), "--resume", "--steps", "3", "--json")).code).toBe(0);
  });
});

describe("hybraid train refuses, with one message and exit code 1,", () => {
  const json = '{"text": "abc"}\n{"text": 5}\n';
  const cases: readonly [string, Record<string, string | undefined>, RegExp][] = [
    ["data that are not there", { data: "{type: text, files: none/*.txt}" }, /"none\/\*\.txt" matches no file in/],
    ["empty data", { data: "{type: text, files: empty.txt}" }, /the data are empty: .*empty\.txt/],
    [
      "too little data",
      { data: "{type: text, files: short.txt}" },
      /too short: \d+ tokens?, but one window takes .* = 17/,
    ],
    [
      "a bad line of JSONL",
      { data: "{type: jsonl, files: bad.jsonl}" },
      /bad\.jsonl:2: field "text" is 5, not a string/,
    ],
    ["a tokenizer that is none", { tokenizer: "bad.jsonl" }, /bad\.jsonl: not valid JSON/],
    [
      "a vocabulary under the tokenizer's",
      { architecture: "{extends: architecture.yaml, vocab_size: 100}" },
      /bytes take a vocab_size of 256, but tiny has 100/,
    ],
    [
      "sequences beyond learned positions",
      { architecture: "{extends: architecture.yaml, positions: {type: learned, max_length: 8}}" },
      /sequences of 16 are longer than the model's 8 learned positions/,
    ],
    ["an unknown field", { batchsize: "3" }, /did you mean "batch_size"/],
  ];
  it.each(cases)("%s", async (_, changes, message) => {
    await writeFile(out("empty.txt"), "");
    await writeFile(out("short.txt"), "abc def");
    await writeFile(out("bad.jsonl"), json);
    await writeFile(out("bad.yaml"), runText(changes));
    const { stdout, stderr, code } = await hybraid("train", out("bad.yaml"), "--out", out("bad"));
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(stdout).toBe("");
    expect(code).toBe(1);
    expect(existsSync(out("bad"))).toBe(false);
  });

  it("a run file that is not there, and a folder that is no run's", async () => {
    expect((await hybraid("train", out("none.yaml"))).stderr).toContain("none.yaml  cannot be read: no such file");
    await mkdir(out("nothing"), { recursive: true });
    const { stderr, code } = await hybraid("train", out("nothing"));
    expect(stderr).toContain("run.yaml  cannot be read: no such file");
    expect(code).toBe(1);
  });

  it("a folder that is taken", async () => {
    await hybraid("train", config, "--out", out("taken"), "--steps", "1", "--json");
    const { stderr, code } = await hybraid("train", config, "--out", out("taken"));
    expect(stderr).toMatch(/^error: .*taken: holds a run already/m);
    expect(code).toBe(1);
  });

  it("options that are no numbers, with exit code 2", async () => {
    for (const args of [
      ["--steps", "0"],
      ["--minutes", "-1"],
      ["--threads", "two"],
      ["--steps", "1", "--minutes", "1"],
    ]) {
      expect((await hybraid("train", config, ...args)).code).toBe(2);
    }
  });
});

/** The program as a process of its own. */
interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<{ code: number | null; stderr: string }>;
}

const running = new Set<ChildProcess>();
afterAll(() => {
  for (const child of running) child.kill("SIGKILL");
});

function start(...args: string[]): Started {
  const child = spawn(process.execPath, ["--import", "tsx", "src/cli/main.ts", ...args], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  running.add(child);
  let stderr = "";
  child.stderr?.on("data", (chunk) => {
    stderr += String(chunk);
  });
  const ended = new Promise<{ code: number | null; stderr: string }>((resolve) =>
    child.once("close", (code) => {
      running.delete(child);
      resolve({ code, stderr });
    }),
  );
  return { child, ended };
}

/** Waits until a run has done `steps` steps. */
async function untilStep(folder: string, steps: number, { ended }: Started): Promise<void> {
  const file = join(folder, "metrics.jsonl");
  let early: string | undefined;
  void ended.then(({ stderr }) => {
    early = stderr;
  });
  for (;;) {
    const lines = existsSync(file) ? (await readFile(file, "utf8")).split("\n").length - 1 : 0;
    if (lines >= steps) return;
    if (early !== undefined) throw new Error(`the run ended by itself: ${early}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

// More steps than anyone waits for, at a rate that does not depend on their number: however fast or slow the machine, a signal
// meets the run in its middle, and wherever it stopped, a shorter run can be compared with it.
describe("a run in a process of its own", () => {
  const endless = ["--steps", "1000000", "--json"];
  beforeAll(() =>
    writeFile(
      out("long.yaml"),
      runText({ schedule: "{type: constant}", eval: "{every: 40, batches: 1}", checkpoint: "{every: 20}" }),
    ),
  );

  it("that is killed goes on to the same losses, bit by bit", async () => {
    const run = start("train", out("long.yaml"), "--out", out("killed"), ...endless);
    await untilStep(out("killed"), 55, run);
    run.child.kill("SIGKILL");
    expect((await run.ended).code).toBeNull();
    const kept = (await readLatest(join(out("killed"), "checkpoints")))?.checkpoint.step ?? 0;
    expect(kept).toBeGreaterThanOrEqual(20);
    const steps = String(kept + 45);
    const { code, stderr } = await start("train", out("killed"), "--resume", "--steps", steps, "--json").ended;
    expect(stderr).toContain(`going on from step ${kept}`);
    expect(code).toBe(0);
    await start("train", out("long.yaml"), "--out", out("whole"), "--steps", steps, "--json").ended;
    const expected = await lossesOf(out("whole"));
    expect(expected.length).toBeGreaterThan(kept + 45);
    expect(await lossesOf(out("killed"))).toEqual(expected);
    expect(await readFile(join(out("killed"), "model.safetensors"))).toEqual(
      await readFile(join(out("whole"), "model.safetensors")),
    );
  });

  it.each(["SIGINT", "SIGTERM"] as const)("ends on %s with a checkpoint, 130, and how to go on", async (signal) => {
    const folder = out(`ended-${signal}`);
    const run = start("train", out("long.yaml"), "--out", folder, ...endless);
    await untilStep(folder, 20, run);
    run.child.kill(signal);
    const { code, stderr } = await run.ended;
    expect(code).toBe(130);
    const kept = await readLatest(join(folder, "checkpoints"));
    expect(stderr).toContain(`stopped after step ${kept?.checkpoint.step} of 1000000; to go on:\n`);
    expect(stderr).toContain(`train ${folder} --resume`);
    expect((await lossesOf(folder)).at(-1)).toContain(` ${kept?.checkpoint.step} `);
    expect((await readdir(folder)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
    expect((await hybraid("generate", folder, "--prompt", "a", "--max-tokens", "1")).code).toBe(0);
  });
});

describe("hybraid generate", () => {
  const folder = (): string => out("plain");
  const ask = (...args: string[]): Promise<Ran> => hybraid("generate", folder(), "--threads", "1", ...args);
  const json = async (...args: string[]) => JSON.parse((await ask("--json", ...args)).stdout);

  it("continues a prompt, the same way for the same seed", async () => {
    const first = await ask("--prompt", "line 1", "--max-tokens", "20");
    expect(first.stdout.startsWith("line 1")).toBe(true);
    expect(first.code).toBe(0);
    expect((await ask("--prompt", "line 1", "--max-tokens", "20")).stdout).toBe(first.stdout);
    expect((await ask("--prompt", "line 1", "--max-tokens", "20", "--seed", "9")).stdout).not.toBe(first.stdout);
  });

  it("--json tells tokens, speed and why it ended", async () => {
    const report = await json("--prompt", "line", "--max-tokens", "5", "--temperature", "0");
    expect(report).toMatchObject({ prompt: "line", prompt_tokens: 4, ended_by: "max_tokens", position: 8 });
    expect(report.tokens).toHaveLength(5);
    expect(report.tokens_per_second).toBeGreaterThan(0);
  });

  it("goes on from a state as if it had never stopped", async () => {
    const file = out("a.state");
    const greedy = ["--temperature", "0"];
    const whole = await json("--prompt", "line 12: ", "--max-tokens", "16", ...greedy);
    await ask("--prompt", "line", "--max-tokens", "0", "--state-out", file);
    const rest = await json("--prompt", " 12: ", "--max-tokens", "16", "--state-in", file, ...greedy);
    expect(rest.tokens).toEqual(whole.tokens);
    // The state holds the generated text, too.
    await ask("--prompt", "line 12: ", "--max-tokens", "16", "--state-out", file, ...greedy);
    const more = await json("--prompt", "x", "--max-tokens", "4", "--state-in", file, ...greedy);
    const again = await json("--prompt", `line 12: ${whole.text}x`, "--max-tokens", "4", ...greedy);
    expect(more.tokens).toEqual(again.tokens);
  });

  it("ends before a stop text, however many tokens that takes", async () => {
    const { text } = await json("--prompt", "line", "--max-tokens", "30", "--temperature", "0");
    const stop = text.slice(3, 6);
    const stopped = await json("--prompt", "line", "--max-tokens", "30", "--temperature", "0", "--stop", stop);
    expect(stopped).toMatchObject({ text: text.slice(0, text.indexOf(stop)), ended_by: "stop" });
  });

  it("refuses what it can't use, with exit code 1", async () => {
    const other = out("other");
    await writeFile(
      out("other.yaml"),
      runText({ architecture: "{extends: architecture.yaml, d_model: 32}", checkpoint: "{every: 1}" }),
    );
    await hybraid("train", out("other.yaml"), "--out", other, "--steps", "1", "--json");
    await hybraid("generate", other, "--prompt", "a", "--max-tokens", "0", "--state-out", out("b.state"));
    const cases: readonly [string[], string][] = [
      [["generate", out("none"), "--prompt", "a"], "no such folder"],
      [["generate", config, "--prompt", "a"], "not the folder of a run or of a saved model"],
      [["generate", home, "--prompt", "a"], "the run has not saved a model yet"],
      [["generate", folder(), "--prompt", ""], "the prompt is empty"],
      [["generate", folder(), "--prompt", "a", "--state-in", out("b.state")], "belongs to an architecture with hash"],
      [["generate", folder(), "--prompt", "a", "--state-in", out("c.state")], "c.state can't be read"],
      [["generate", folder(), "--prompt", "a", "--tokenizer", out("short.txt")], "short.txt: not valid JSON"],
    ];
    for (const [args, message] of cases) {
      const { stderr, code } = await hybraid(...args);
      expect(stderr).toContain(message);
      expect(stderr).not.toMatch(/\n\s+at /);
      expect(code).toBe(1);
    }
  });

  it("refuses a model whose tokens stand for no text", async () => {
    await writeFile(
      out("task.yaml"),
      runText({
        architecture: "{extends: architecture.yaml, vocab_size: 16}",
        data: "{type: task, task: parity}",
        sample: undefined,
      }),
    );
    const trained = await hybraid("train", out("task.yaml"), "--out", out("task"), "--steps", "1");
    expect(trained.stdout).toMatch(/Accuracy on fresh examples: [\d.]+%\./);
    const { stderr, code } = await hybraid("generate", out("task"), "--prompt", "a");
    expect(stderr).toContain("trained on the task parity, whose tokens stand for no text");
    expect(code).toBe(1);
  });
});
