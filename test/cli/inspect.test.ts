// hybraid inspect as a user meets it.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseContexts, register } from "../../src/cli/inspect.ts";
import type { Inspection } from "../../src/inspect/inspect.ts";
import { type Ran, runHere } from "./run.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "hybraid-inspect-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const inspect = (...args: string[]): Promise<Ran> => runHere([register], "inspect", ...args);

describe("hybraid inspect", () => {
  it("shows the picture, layers, parameters, contexts and ops", async () => {
    const { stdout, stderr, code } = await inspect("architectures/samba.yaml", "--context", "1K", "1M");
    expect(code).toBe(0);
    expect(stderr).toBe("");
    expect(stdout).toMatch(/^samba: 238k parameters \(237,888\), 929 KiB as float32\n\(M-\*-\)\{2\}\n/);
    expect(stdout).toContain("│ 4 heads × 16, window 32, rope │");
    expect(stdout).toMatch(/\n {2}2, 6 +\* +attention +16\.4k +130k +42k +42\.2k +16 KiB\n/);
    expect(stdout).toMatch(/\n {2}mlp +122,880 +51\.7%\n/);
    expect(stdout).toMatch(/\n {2}tokens +1K +1M\n/);
    expect(stdout).toMatch(/\n {4}KV cache +32 KiB +32 KiB\n/);
    expect(stdout).toMatch(/\n {2}selective_scan_gradient +6\.\d%\n/);
  });

  it("--json gives the same to programs", async () => {
    const { stdout } = await inspect("architectures/zamba.yaml", "-c", "512,4K", "--json");
    const report = JSON.parse(stdout) as Inspection;
    expect(report).toMatchObject({ name: "zamba", d_model: 64, vocab_size: 256, pattern: "MM(AFPHM){2}" });
    expect(report.contexts.map(({ context }) => context)).toEqual([512, 4096]);
    expect(report.contexts.map(({ state }) => state.kv_cache)).toEqual(
      [512, 4096].map((keys) => 2 * 2 * 128 * 4 * keys),
    );
    expect(report.layers[2]).toMatchObject({ block: "A", operators: ["attention"], shared: "shared.A" });
  });

  it("--html writes a page", async () => {
    const page = join(folder, "page.html");
    const { stderr, code } = await inspect("architectures/mamba.yaml", "--html", page, "--json");
    expect(code).toBe(0);
    expect(stderr).toBe(`wrote ${page}\n`);
    expect(readFileSync(page, "utf8")).toMatch(/^<!doctype html>.*<\/html>\n$/s);
  });

  it("leaves no page where it can't be written", async () => {
    const { stderr, code } = await inspect("architectures/mamba.yaml", "--html", join(folder, "no/such/page.html"));
    expect(stderr).toMatch(/^error: .*no\/such\/page\.html/);
    expect(code).toBe(1);
  });

  it("reads folders of saved models and of runs, and run files", async () => {
    const text = readFileSync("architectures/gru.yaml", "utf8");
    const [model, run] = [join(folder, "model-folder"), join(folder, "run")];
    mkdirSync(model);
    mkdirSync(join(run, "model"), { recursive: true });
    writeFileSync(join(model, "architecture.yaml"), text);
    writeFileSync(join(run, "model", "architecture.yaml"), text);
    writeFileSync(join(folder, "gru.yaml"), text);
    const config = join(folder, "run.yaml");
    writeFileSync(config, "name: r\narchitecture: gru.yaml\ndata: {type: text, files: [a.txt]}\nsteps: 10\n");
    for (const path of [model, run, config]) {
      const { stdout, stderr } = await inspect(path, "--json");
      expect(stderr).toBe("");
      expect(JSON.parse(stdout)).toMatchObject({ name: "gru" });
    }
  });

  it("fits a terminal of 60 columns", async () => {
    const columns = process.stdout.columns;
    process.stdout.columns = 60;
    try {
      for (const name of ["falcon-h1", "jamba", "gemma2"]) {
        const { stdout } = await inspect(`architectures/${name}.yaml`);
        for (const line of stdout.split("\n").slice(1)) expect([...line].length, line).toBeLessThanOrEqual(60);
      }
    } finally {
      process.stdout.columns = columns;
    }
  });
});

describe("hybraid inspect refuses", () => {
  it.each([
    ["missing.yaml", "error: missing.yaml: no such file or folder\n"],
    ["mamba", 'error: mamba: no such file or folder; did you mean "architectures/mamba.yaml"?\n'],
    ["architectures", /^error: architectures: a folder without architecture.yaml, so neither .*; it has architectures/],
    ["package.json", /^package\.json:2:3 {2}"name"|^package\.json/],
    ["test/fixtures/spec/bad/pattern-unused.yaml", /pattern-unused\.yaml:8:13 {2}overrides\.9: 9 is outside/],
  ])("%s", async (path, message) => {
    const { stdout, stderr, code } = await inspect(path);
    if (typeof message === "string") expect(stderr).toBe(message);
    else expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(stdout).toBe("");
    expect(code).toBe(1);
  });

  it("what is wrong with a run file, as a run file", async () => {
    const config = join(folder, "bad-run.yaml");
    writeFileSync(config, "name: r\narchitecture: nowhere.yaml\ndata: {type: text, files: [a.txt]}\nsteps: 10\n");
    const { stderr, code } = await inspect(config);
    expect(stderr).toContain("nowhere.yaml");
    expect(stderr).not.toContain("d_model");
    expect(code).toBe(1);
  });

  it("contexts that are none", async () => {
    const { stderr, code } = await inspect("architectures/mamba.yaml", "--context", "long");
    expect(stderr).toContain('"long" is not a number of tokens; allowed: 1 or more, such as 4096 or 4K.');
    expect(code).toBe(2);
    expect((await inspect("architectures/gpt2.yaml", "-c", "1K")).stderr).toBe(
      "error: gpt2 has learned positions for 512 tokens; a context of 1024 is too long\n",
    );
  });
});

describe("contexts", () => {
  it("are tokens, K of 1024 or M of 1024²", () => {
    expect(parseContexts("7,4k, 1M")).toEqual([7, 4096, 1048576]);
    expect(parseContexts("2K", [1])).toEqual([1, 2048]);
    for (const text of ["0", "-1", "1.5", "", "4KB", "9".repeat(20)])
      expect(() => parseContexts(text)).toThrow("allowed");
  });
});
