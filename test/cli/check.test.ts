import { Command } from "commander";
import { afterEach, describe, expect, test, vi } from "vitest";
import { register } from "../../src/cli/check.ts";

/** Runs `hybraid check …` in this process. */
async function check(...args: string[]): Promise<{ output: string; code: number }> {
  const written: string[] = [];
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    written.push(String(text));
    return true;
  });
  process.exitCode = 0;
  const program = new Command("hybraid").exitOverride();
  register(program);
  await program.parseAsync(["check", ...args], { from: "user" });
  const code = Number(process.exitCode ?? 0);
  process.exitCode = 0;
  vi.restoreAllMocks();
  return { output: written.join(""), code };
}

afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = 0;
});

describe("hybraid check", () => {
  test("shows what a good file stands for", async () => {
    const { output, code } = await check("architectures/samba.yaml");
    expect(output).toBe("architectures/samba.yaml: ok, samba: d_model 64, vocab_size 256, 8 layers: (M-*-){2}\n");
    expect(code).toBe(0);
  });

  test("shows every error of every file and fails", async () => {
    const bad = "test/fixtures/spec/bad/pattern-unused.yaml";
    const { output, code } = await check("architectures/mamba.yaml", bad, "missing.yaml");
    expect(output).toContain("architectures/mamba.yaml: ok, mamba");
    expect(output).toContain(`${bad}:8:13  overrides.9: 9 is outside the 2 layers`);
    expect(output).toContain(`${bad}: 1 error`);
    expect(output).toContain("missing.yaml  cannot be read: no such file");
    expect(code).toBe(1);
  });

  test("--json gives the same to programs", async () => {
    const { output, code } = await check("--json", "architectures/zamba.yaml", "missing.yaml");
    expect(JSON.parse(output)).toMatchObject([
      { file: "architectures/zamba.yaml", ok: true, layers: 12, pattern: "MM(AFPHM){2}", diagnostics: [] },
      { file: "missing.yaml", ok: false, layers: null, diagnostics: [{ severity: "error", line: null }] },
    ]);
    expect(code).toBe(1);
  });

  test("a warning alone does not fail", async () => {
    const { output, code } = await check("test/fixtures/spec/unused-block.yaml");
    expect(output).toContain('warning: blocks["-"]: block "-" is not used in layers');
    expect(output).toContain("ok, unused-block");
    expect(code).toBe(0);
  });
});
