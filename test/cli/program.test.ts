// The frame: what exit codes mean, what is printed for an error, and how the program behaves in a pipe.
import { describe, expect, it } from "vitest";
import { exitCodeOf, InputError, type Register } from "../../src/cli/program.ts";
import { DataError } from "../../src/data/error.ts";
import { ModelError } from "../../src/model/error.ts";
import { RuntimeError } from "../../src/runtime/types.ts";
import { diagnosticOfFile, SpecError } from "../../src/spec/diagnostic.ts";
import { runHere, runInShell } from "./run.ts";

const throwing =
  (error: unknown): Register =>
  (program) => {
    program.command("fail").action(async () => {
      throw error;
    });
  };

describe("an error of the input", () => {
  it.each([
    new InputError("no"),
    new DataError("no"),
    new ModelError("no"),
    new RuntimeError("no"),
    Object.assign(new Error("ENOENT: no such file, open 'no'"), { code: "ENOENT", syscall: "open" }),
  ])("is its message alone, exit code 1: %s", async (error) => {
    const { stdout, stderr, code } = await runHere([throwing(error)], "fail");
    expect(stderr).toBe(`error: ${error.message}\n`);
    expect(stdout).toBe("");
    expect(code).toBe(1);
  });

  it("in a file is the list of what is wrong, each with its place", async () => {
    const error = new SpecError([diagnosticOfFile("x.yaml", { message: "is empty" })]);
    expect(await runHere([throwing(error)], "fail")).toEqual({ stdout: "", stderr: "x.yaml  is empty\n", code: 1 });
  });

  it("has its stack trace and its cause with --verbose, wherever that stands", async () => {
    const error = new ModelError("outer", { cause: new Error("inner") });
    for (const args of [
      ["--verbose", "fail"],
      ["fail", "--verbose"],
    ]) {
      const { stderr, code } = await runHere([throwing(error)], ...args);
      expect(stderr).toMatch(/^error: outer\n.*program\.test\.ts/s);
      expect(stderr).toContain("caused by Error: inner");
      expect(code).toBe(1);
    }
  });
});

describe("any other error", () => {
  it("is a bug, exit code 3", async () => {
    const { stderr, code } = await runHere([throwing(new TypeError("x is undefined"))], "fail");
    expect(stderr).toBe(
      "internal error: x is undefined\nThis is a bug in hybraid; --verbose shows where it happened.\n",
    );
    expect(code).toBe(3);
  });

  it("may be a trap in WebAssembly, which has the name of an error of ours", () => {
    expect(exitCodeOf(new WebAssembly.RuntimeError("unreachable"))).toBe(3);
    expect(exitCodeOf(new RuntimeError("out of memory"))).toBe(1);
    expect(exitCodeOf("thrown text")).toBe(3);
  });
});

describe("the command line", () => {
  const quiet: Register = (program) => {
    program
      .command("work")
      .argument("<what>")
      .action((what: string) => {
        process.stdout.write(`worked on ${what}\n`);
        if (what === "half") process.exitCode = 1;
      });
  };

  it("runs a command", async () => {
    expect(await runHere([quiet], "work", "it")).toEqual({ stdout: "worked on it\n", stderr: "", code: 0 });
  });

  it("passes on the exit code that a command sets", async () => {
    expect((await runHere([quiet], "work", "half")).code).toBe(1);
  });

  it.each([
    [["wrok"], "unknown command 'wrok'"],
    [["work"], "missing required argument 'what'"],
    [["work", "it", "--fast"], "unknown option '--fast'"],
    [["--fast"], "unknown option '--fast'"],
  ])("%j is refused with exit code 2", async (args, message) => {
    const { stdout, stderr, code } = await runHere([quiet], ...args);
    expect(stderr).toContain(`error: ${message}`);
    expect(stdout).toBe("");
    expect(code).toBe(2);
  });

  it("prints help with commands and exit codes, and the version", async () => {
    const { stdout, code } = await runHere([quiet], "--help");
    expect(stdout).toMatch(/Usage: hybraid.*work.*Exit codes:.*130/s);
    expect(code).toBe(0);
    expect(await runHere([quiet], "--version")).toEqual({ stdout: "1.2.3\n", stderr: "", code: 0 });
  });

  it("says so when it was interrupted, exit code 130", async () => {
    const error = new DOMException("stop", "AbortError");
    expect(await runHere([throwing(error)], "fail")).toEqual({ stdout: "", stderr: "interrupted\n", code: 130 });
  });
});

describe("the program", () => {
  it("prints the version of the package and knows its commands", () => {
    expect(runInShell("hybraid --version").stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    const { stdout } = runInShell("hybraid --help");
    for (const command of ["check", "inspect", "bench"]) expect(stdout).toContain(`\n  ${command} `);
  });

  it("ends quietly when nobody reads on", () => {
    const ran = runInShell("hybraid inspect architectures/jamba.yaml --json | head -n 1");
    expect(ran).toEqual({ stdout: "{\n", stderr: "", code: 0 });
  });

  it("fails in the shell as it does here", () => {
    const { stderr, code } = runInShell("hybraid check missing.yaml; exit $?");
    expect(stderr).toBe("");
    expect(code).toBe(1);
    expect(runInShell("hybraid inspect missing.yaml").code).toBe(1);
    expect(runInShell("hybraid").code).toBe(2);
  });

  it("colours only where it may", () => {
    const coloured = runInShell("hybraid inspect architectures/gru.yaml", { FORCE_COLOR: "1", NO_COLOR: "" });
    const plain = runInShell("hybraid inspect architectures/gru.yaml", { NO_COLOR: "1" });
    expect(coloured.stdout).toContain("\u001b[");
    expect(plain.stdout).not.toContain("\u001b[");
  });
});
