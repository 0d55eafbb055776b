// hybraid bench: what it lists, what it refuses, and what it measures.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { listBenchmarks, register, speedText } from "../../src/cli/bench.ts";
import { measure, type SpeedReport } from "../../src/inspect/measure.ts";
import { createRuntime } from "../../src/runtime/index.ts";
import { loadSpecFile } from "../../src/spec/node/files.ts";
import { runHere } from "./run.ts";

const bench = (...args: string[]) => runHere([register], "bench", ...args);

describe("the list of benchmarks", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "hybraid-bench-"));
    writeFileSync(join(folder, "speed.ts"), "// Is it fast? `npx tsx bench/speed.ts`\n// Very.\nexport {};\n");
    writeFileSync(join(folder, "harness.ts"), "// What every benchmark shares.\nexport {};\n");
    writeFileSync(join(folder, ".secret.ts"), "// `npx tsx bench/.secret.ts`\n");
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it("holds the files that say how to run them, with their question", () => {
    expect(listBenchmarks(folder)).toEqual([
      { name: "speed", question: "Is it fast?", file: join(folder, "speed.ts") },
    ]);
  });

  it("is empty where there is no checkout", () => {
    expect(listBenchmarks(join(folder, "nowhere"))).toEqual([]);
  });

  it("is printed without names", async () => {
    const { stdout, code } = await bench();
    expect(stdout).toMatch(/\n {2}matmul +How close .*\?\n/);
    expect(code).toBe(0);
    const listed = JSON.parse((await bench("--json")).stdout) as { readonly name: string }[];
    expect(listed.map(({ name }) => name)).toContain("matmul");
  });
});

describe("hybraid bench refuses", () => {
  it.each([
    [["matmull"], 'error: matmull: neither a benchmark nor a file or folder; did you mean "matmul"?\n', 1],
    [["architectures/mamba.yaml", "--threads", "0"], /"0" is not a whole number of at least 1\./, 2],
    [
      ["architectures/mamba.yaml", "--device", "abacus"],
      /Allowed choices are auto, wasm, webgpu, webgpu:software, reference\./,
      2,
    ],
  ])("%j", async (args, message, expected) => {
    const { stderr, code } = await bench(...args);
    if (typeof message === "string") expect(stderr).toBe(message);
    else expect(stderr).toMatch(message);
    expect(code).toBe(expected);
  });
});

describe("measuring an architecture", () => {
  const spec = loadSpecFile("architectures/samba.yaml");
  let report: SpeedReport;
  beforeAll(async () => {
    const runtime = await createRuntime("wasm", { threads: 1 });
    report = await measure(spec, runtime, { tokens: 16, batch: 2, sequence: 8, seconds: 0.01 });
    await runtime.close();
  });

  it("covers prefill, decoding and training, each with samples and limits", () => {
    expect(report.measurements.map(({ what, batch, tokens }) => [what, batch, tokens])).toEqual([
      ["prefill", 1, 16],
      ["decode", 1, 16],
      ["training", 2, 8],
    ]);
    for (const { samples, tokens_per_second, arithmetic_limit, memory_limit } of report.measurements) {
      expect(samples.length).toBeGreaterThanOrEqual(1);
      expect(tokens_per_second).toBeGreaterThan(0);
      expect(Math.min(...samples)).toBeLessThanOrEqual(tokens_per_second);
      expect(arithmetic_limit).toBeGreaterThan(0);
      expect(memory_limit).toBeGreaterThan(0);
    }
  });

  it("takes the limit of decoding from the bytes of weights and state", () => {
    const decode = report.measurements[1];
    const bytes = 4 * 237_888 + (2 * (2 * 128 * 19 * 4)) / 2 + 2 * 2 * 4 * 16 * 4 * 16;
    expect(decode?.memory_limit).toBeCloseTo(report.machine.bytes_per_second / bytes, 3);
  });

  it("is shown as a table", () => {
    const text = speedText({ ...report, skipped: [{ what: "training", reason: "no room" }] });
    expect(text).toMatch(/^samba, 238k parameters, random weights\nWebAssembly, 1 thread/);
    expect(text).toMatch(/; reads [\d.]+ [MGT]B\/s, multiplies matrices at [\d.]+ [MGT]FLOP\/s\n/);
    expect(text).toMatch(/\n {2}prefill of 16 .* \d+% +(arithmetic|memory)\n/);
    expect(text).toContain("training: not measured, no room");
  });
});
